# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True, embedsignature=True
"""Arrays bound to rules: looked at once, then updated range by range, all elements laid end to end.

The loops come from `rules.pyx`, which is built once for each instruction set; all builds are linked to this module.
"""

cimport numpy as cnp
from cpython.float cimport PyFloat_AsDouble, PyFloat_CheckExact
from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_CheckExact
from cpython.pythread cimport (
    NOWAIT_LOCK, WAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock,
    PyThread_type_lock,
)
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from atomic cimport fetch_add
from cpu cimport cpu_has_v3, cpu_has_v4, prefetch
from dlpack cimport dl_tensor_t, exchange_of, exchange_t, floats_of
from flush_to_zero cimport control_word, restore, save_and_flush_to_zero
from rule cimport (
    BRAIN, HALF, MAX_HYPERS, MAX_RULES, MAX_SCALARS, MAX_STREAMS, OTHER, VECTOR, chunk_t, fill_t, rule_t, table_t,
)
from strided cimport MAX_AXES, transfer, transfer_block, walk_t

cnp.import_array()

# NumPy's and Python's own, on borrowed pointers: a model has hundreds of arrays, looked at in every step.
cdef extern from *:
    ctypedef struct array_t "PyArrayObject":
        pass
    bint PyArray_CheckExact(PyObject *item) nogil
    void *PyArray_DATA(array_t *array) nogil
    int PyArray_FLAGS(array_t *array) nogil
    int PyArray_TYPE(array_t *array) nogil
    int PyArray_NDIM(array_t *array) nogil
    Py_ssize_t *PyArray_DIMS(array_t *array) nogil
    Py_ssize_t *PyArray_STRIDES(array_t *array) nogil
    bint PyArray_ISNOTSWAPPED(array_t *array) nogil
    int PyArray_ITEMSIZE(array_t *array) nogil
    PyObject *PyArray_BASE(array_t *array) nogil
    int NPY_HALF
    PyObject *Py_TYPE(PyObject *item)
    Py_ssize_t Py_REFCNT(PyObject *item)
    PyObject *PyTuple_GetItem(tuple items, Py_ssize_t i) except NULL

# The builds of the loops, NULL for those that this one goes without.
cdef extern from *:
    """
    extern void fastopt_rules_baseline(void *table);
    #ifdef FASTOPT_V3
    extern void fastopt_rules_v3(void *table);
    #else
    #define fastopt_rules_v3 NULL
    #endif
    #ifdef FASTOPT_V4
    extern void fastopt_rules_v4(void *table);
    #else
    #define fastopt_rules_v4 NULL
    #endif
    """
    fill_t rules_baseline "fastopt_rules_baseline"
    fill_t rules_v3 "fastopt_rules_v3"
    fill_t rules_v4 "fastopt_rules_v4"

cdef enum:
    GRAD = 1
    CACHE_LINE = 64  # bytes
    LONG = 1024      # elements from which alignment pays
    SHORT = 8192     # elements up to which a step is over before another thread could be told to go on
    CHUNK = 256      # elements of a strided array that are copied to the cache and back: four float32 streams in 4 KiB
    CONVERTED = 512  # elements of a gradient of another type that are converted at a time
    AHEAD = 8        # rows of a table that are fetched before their turn
    FETCHED = 512    # bytes of each
    BAND = 16        # rows of a block: float32 elements of a cache line
    COLUMNS = 256    # of a block
    BLOCKS = 2       # that fit on the stack: more arrays across the others go chunk by chunk
    ROW = 64         # elements from which a row that lies end to end needs no copy
    CONTIGUOUS = cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_F_CONTIGUOUS


# Looking at an array.

cdef inline array_t *plain(PyObject *item, bint written) noexcept nogil:
    """`item` if it is an array that a loop can run over, apart from its shape and dtype, else NULL."""
    if not PyArray_CheckExact(item):
        return NULL
    cdef array_t *array = <array_t *>item
    if (PyArray_FLAGS(array) & cnp.NPY_ARRAY_WRITEABLE or not written) and PyArray_ISNOTSWAPPED(array):
        return array
    return NULL


cdef inline bint alike(array_t *array, array_t *model) noexcept nogil:
    """Whether dtype and shape are those of `model`."""
    return PyArray_TYPE(array) == PyArray_TYPE(model) and same_shape(array, model, 0)


cdef inline bint same_shape(array_t *array, array_t *model, int axis) noexcept nogil:
    """Whether the shape is that of `model`, apart from the axes before `axis`."""
    if PyArray_NDIM(array) != PyArray_NDIM(model):
        return False
    for axis in range(axis, PyArray_NDIM(model)):
        if PyArray_DIMS(array)[axis] != PyArray_DIMS(model)[axis]:
            return False
    return True


cdef inline Py_ssize_t size_of(array_t *array) noexcept nogil:
    cdef Py_ssize_t size = 1
    cdef int axis
    for axis in range(PyArray_NDIM(array)):
        size *= PyArray_DIMS(array)[axis]
    return size


cdef inline int layout_of(array_t *array) noexcept nogil:
    """The contiguity flags of an array that a loop can run over as it lies, else 0."""
    cdef int flags = PyArray_FLAGS(array)
    return flags & CONTIGUOUS if flags & cnp.NPY_ARRAY_ALIGNED else 0


cdef inline Py_ssize_t size_of_stride(Py_ssize_t stride) noexcept nogil:
    return -stride if stride < 0 else stride


# The memory of arrays, to see which overlap.

cdef struct span_t:
    uintptr_t begin
    uintptr_t end
    bint written


cdef inline span_t span_of(array_t *array, Py_ssize_t itemsize, bint written) noexcept nogil:
    """The bytes from the first to the last element."""
    cdef uintptr_t begin = <uintptr_t>PyArray_DATA(array), end = begin
    cdef Py_ssize_t reach
    cdef int axis
    if PyArray_FLAGS(array) & CONTIGUOUS:
        return span_t(begin, begin + size_of(array) * itemsize, written)
    for axis in range(PyArray_NDIM(array)):
        if PyArray_DIMS(array)[axis] == 0:
            return span_t(begin, begin, written)
        reach = (PyArray_DIMS(array)[axis] - 1) * PyArray_STRIDES(array)[axis]
        if reach < 0:
            begin += reach
        else:
            end += reach
    return span_t(begin, end + itemsize, written)


cdef Py_ssize_t end_of_run(const span_t *spans, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    """Where the ascending run that begins at `i` ends."""
    i = min(i + 1, n)
    while i < n and spans[i - 1].begin <= spans[i].begin:
        i += 1
    return i


cdef void sort(span_t *spans, span_t *scratch, Py_ssize_t n) noexcept nogil:
    """Merge ascending runs until one is left: a model's arrays mostly come in order, so there are few."""
    cdef Py_ssize_t i, j, k, middle, end
    while end_of_run(spans, 0, n) < n:
        k = 0
        while k < n:
            i, middle = k, end_of_run(spans, k, n)
            j, end = middle, end_of_run(spans, middle, n)
            while k < end:
                if j == end or (i < middle and spans[i].begin <= spans[j].begin):
                    scratch[k] = spans[i]
                    i += 1
                else:
                    scratch[k] = spans[j]
                    j += 1
                k += 1
        for i in range(n):
            spans[i] = scratch[i]


# Arrays that are not contiguous, or not all in one order.

cdef bint plan(walk_t *walk, array_t **arrays, Py_ssize_t k) noexcept nogil:
    """Order the axes by the strides of the first array and merge those that can be; False where an array that is
    written overlaps itself."""
    cdef array_t *model = arrays[0]
    cdef int order[MAX_AXES]
    cdef int axis, n = 0, i, j
    cdef Py_ssize_t s, reach, itemsize, n_copied = 0
    cdef bint merged, converted = PyArray_TYPE(arrays[GRAD]) != PyArray_TYPE(model)
    for axis in range(PyArray_NDIM(model)):
        if PyArray_DIMS(model)[axis] != 1:
            i = n
            while i > 0 and (
                size_of_stride(PyArray_STRIDES(model)[order[i - 1]]) < size_of_stride(PyArray_STRIDES(model)[axis])
            ):
                order[i] = order[i - 1]
                i -= 1
            order[i] = axis
            n += 1
    walk.n_axes = 0
    for i in range(n):
        axis = order[i]
        j = walk.n_axes - 1
        merged = j >= 0
        for s in range(k):
            if merged and walk.strides[s][j] != PyArray_STRIDES(arrays[s])[axis] * PyArray_DIMS(model)[axis]:
                merged = False
        if merged:
            walk.lengths[j] *= PyArray_DIMS(model)[axis]
        else:
            j += 1
            walk.n_axes += 1
            walk.lengths[j] = PyArray_DIMS(model)[axis]
        for s in range(k):
            walk.strides[s][j] = PyArray_STRIDES(arrays[s])[axis]
    if walk.n_axes == 0:  # a single element
        walk.n_axes, walk.lengths[0] = 1, 1
        for s in range(k):
            walk.strides[s][0] = PyArray_ITEMSIZE(arrays[s])
    walk.crossed = False
    for s in range(k):
        itemsize = reach = PyArray_ITEMSIZE(arrays[s])
        walk.direct[s] = PyArray_FLAGS(arrays[s]) & cnp.NPY_ARRAY_ALIGNED != 0
        walk.copied[s] = walk.strides[s][walk.n_axes - 1] != itemsize or not walk.direct[s]
        n_copied += walk.copied[s]
        for j in range(walk.n_axes - 1, -1, -1):
            if walk.strides[s][j] != reach:
                walk.direct[s] = False
            reach *= walk.lengths[j]
        j = walk.n_axes - 1
        if j > 0 and size_of_stride(walk.strides[s][j - 1]) < size_of_stride(walk.strides[s][j]):
            walk.crossed = walk.lengths[j - 1] >= BAND and walk.lengths[j] >= COLUMNS
        if s != GRAD and not walk.direct[s] and overlaps_itself(arrays[s], itemsize):
            return False
    walk.rows = n_copied == 0 and walk.lengths[walk.n_axes - 1] >= ROW and not converted
    walk.crossed = walk.crossed and n_copied <= BLOCKS and not converted
    return True


cdef bint overlaps_itself(array_t *array, Py_ssize_t itemsize) noexcept nogil:
    """Whether two elements may share memory."""
    cdef Py_ssize_t reach = itemsize, smallest, stride
    cdef int axis, chosen, left = 0
    cdef bint done[MAX_AXES]
    for axis in range(PyArray_NDIM(array)):
        done[axis] = PyArray_DIMS(array)[axis] <= 1
        left += not done[axis]
    while left > 0:
        smallest, chosen = 0, -1
        for axis in range(PyArray_NDIM(array)):
            stride = size_of_stride(PyArray_STRIDES(array)[axis])
            if not done[axis] and (chosen < 0 or stride < smallest):
                smallest, chosen = stride, axis
        if smallest < reach:
            return True
        reach += smallest * (PyArray_DIMS(array)[chosen] - 1)
        done[chosen] = True
        left -= 1
    return False


cdef void seek(const walk_t *walk, Py_ssize_t position, Py_ssize_t *index) noexcept nogil:
    """The index, per axis, of the element at `position`."""
    cdef int axis
    for axis in range(walk.n_axes - 1, -1, -1):
        index[axis] = position % walk.lengths[axis]
        position //= walk.lengths[axis]


# Hyper-parameters.

cdef enum:
    REAL, INTEGER, BOOLEAN  # in the order of fastopt.kernels.rules.KINDS


cdef struct range_t:
    int kind
    double low
    double high


cdef inline bint take_value(PyObject *item, const range_t *allowed, double *to) except -1:
    """Store a plain number in its range; False for anything else."""
    cdef object value = <object>item
    cdef int overflow
    if allowed.kind == REAL:
        if not PyFloat_CheckExact(value):
            return False
        to[0] = PyFloat_AsDouble(value)
    elif allowed.kind == BOOLEAN:
        if value is not True and value is not False:
            return False
        to[0] = value is True
        return True
    else:
        if not PyLong_CheckExact(value):
            return False
        to[0] = PyLong_AsLongAndOverflow(value, &overflow)
        if overflow:
            return False
    return allowed.low <= to[0] <= allowed.high


# Arrays bound to rules.

cdef struct values_t:
    # Scalars in the type of either: cast here once, not in every loop.
    double of_double[MAX_SCALARS]
    float of_float[MAX_SCALARS]


cdef struct part_t:
    # Tensors that share a rule and its scalars.
    Py_ssize_t number  # of the rule
    const rule_t *rule
    Py_ssize_t begin   # number of the first tensor
    Py_ssize_t end
    values_t c


cdef struct rows_t:
    # The rows of a table that a gradient has rows for, each once, in the order in which the gradient first has them.
    Py_ssize_t n
    Py_ssize_t length                # elements of a row
    Py_ssize_t strides[MAX_STREAMS]  # bytes from row to row
    int64_t *row                     # where each is in the table
    int64_t *first                   # its first row in the gradient
    int64_t *next                    # the gradient's next row for the same one, or -1


cdef struct tensor_t:
    void **data        # of each stream
    array_t **arrays   # of each stream; the gradient may be gone
    Py_ssize_t end     # elements of all tensors up to and including this one
    int layout         # contiguity flags that all written arrays have in common
    bint is_double
    walk_t *walk       # NULL if all lie end to end in one order
    rows_t *rows       # NULL if the gradient is for all rows
    chunk_t convert    # of a gradient of another type, else NULL
    Py_ssize_t grad_itemsize
    chunk_t add        # a piece of a gradient to another
    void *next_grad    # memory of the next gradient


cdef enum:
    SMALL = 80  # pointers: a single tensor with five streams


cdef struct binding_t:
    Py_ssize_t size        # elements of all tensors
    Py_ssize_t n_parts
    Py_ssize_t n_tensors
    Py_ssize_t n_written
    part_t *parts
    tensor_t *tensors
    span_t *spans          # memory of all arrays that are written, sorted
    void *memory           # what the pointers above point into, unless a single tensor fits in here
    void *small[SMALL]


cdef int allocate(binding_t *b, Py_ssize_t n_parts, Py_ssize_t n_tensors, Py_ssize_t n_arrays) except -1:
    cdef Py_ssize_t t
    cdef Py_ssize_t n_bytes = (
        n_parts * sizeof(part_t) + n_tensors * sizeof(tensor_t)
        + n_arrays * (sizeof(void *) + sizeof(array_t *) + 2 * sizeof(span_t))  # with scratch space for the sort
    )
    b.size, b.n_parts, b.n_tensors, b.n_written, b.memory = 0, 0, 0, 0, NULL
    if n_bytes <= <Py_ssize_t>sizeof(b.small):
        b.parts = <part_t *>b.small
    else:
        b.memory = malloc(n_bytes)
        if b.memory == NULL:
            raise MemoryError
        b.parts = <part_t *>b.memory
    b.tensors = <tensor_t *>(b.parts + n_parts)
    b.spans = <span_t *>(b.tensors + n_tensors)
    for t in range(n_tensors):
        b.tensors[t].walk, b.tensors[t].rows = NULL, NULL
    b.n_parts, b.n_tensors = n_parts, n_tensors
    return 0


cdef void unbind(binding_t *b) noexcept:
    cdef Py_ssize_t t
    for t in range(b.n_tensors):
        free(b.tensors[t].walk)
        free(b.tensors[t].rows)
    free(b.memory)


cdef bint bind_one(binding_t *b, const table_t *table, Py_ssize_t number, tuple arrays) except -1:
    """Bind the arrays of a single tensor, or return False where they need a closer look."""
    cdef Py_ssize_t s, k = len(arrays)
    cdef part_t *part
    allocate(b, 1, 1, k)
    part = b.parts
    part.number, part.rule, part.begin, part.end = number, &table.rules[number], 0, 1
    if k != part.rule.n_streams:
        raise SystemError("another number of arrays than the rule has")
    b.tensors.data = <void **>(b.spans + 2 * k)
    b.tensors.arrays = <array_t **>(b.tensors.data + k)
    for s in range(k):
        b.tensors.arrays[s] = plain(PyTuple_GetItem(arrays, s), s != GRAD)
        if b.tensors.arrays[s] == NULL:
            return False
    return bind_tensor(b, b.tensors, k, table, None, False) and bind_spans(b, False)


cdef bint bind_all(
    binding_t *b, const table_t *table, list numbers, tuple parts, tuple rows, bint trusted,
) except -1:
    """Bind the arrays of all parts, tuples of tuples, and their rows, if any; those that are trusted are known not to
    overlap, and may have gradients of other types."""
    cdef Py_ssize_t i, s, t = 0, k, n_tensors = 0, n_arrays = 0
    cdef tuple streams, stream
    cdef void **data
    cdef part_t *part
    cdef tensor_t *tensor
    for streams in parts:
        n_tensors += len(<tuple>streams[0])
        n_arrays += len(streams) * len(<tuple>streams[0])
    allocate(b, len(parts), n_tensors, n_arrays)
    data = <void **>(b.spans + 2 * n_arrays)
    for i in range(b.n_parts):
        streams = <tuple>parts[i]
        k = len(streams)
        part = b.parts + i
        part.number = numbers[i]
        part.rule = &table.rules[part.number]
        part.begin, part.end = t, t + len(<tuple>streams[0])
        if k != part.rule.n_streams:
            raise SystemError("another number of arrays than the rule has")
        for s in range(k):
            if len(<tuple>streams[s]) != part.end - part.begin:
                return False
        for t in range(part.begin, part.end):
            tensor = b.tensors + t
            tensor.data, tensor.arrays = data, <array_t **>(data + k)
            data += 2 * k
            for s in range(k):
                stream = <tuple>streams[s]
                tensor.arrays[s] = plain(PyTuple_GetItem(stream, t - part.begin), s != GRAD)
                if tensor.arrays[s] == NULL:
                    return False
            index = None if rows is None or rows[i] is None else rows[i][t - part.begin]
            if not bind_tensor(b, tensor, k, table, index, trusted):
                return False
        t = part.end
    return bind_spans(b, trusted)


cdef tuple tuples_of(object streams):
    """Streams as tuples of arrays, or None where one is no list or tuple."""
    cdef list copied = []
    for stream in streams:
        if not isinstance(stream, (list, tuple)):
            return None
        copied.append(tuple(stream))
    return tuple(copied)


cdef chunk_t conversion_of(array_t *grad, const tensor_t *tensor, const table_t *table) noexcept:
    """How a gradient is converted to the parameter's type: NULL if that is its own; bfloat16 is no number to NumPy."""
    cdef int dtype = PyArray_TYPE(grad)
    if dtype == (cnp.NPY_DOUBLE if tensor.is_double else cnp.NPY_FLOAT):
        return NULL
    return <chunk_t>table.convert[
        OTHER if dtype == cnp.NPY_DOUBLE or dtype == cnp.NPY_FLOAT else HALF if dtype == NPY_HALF else BRAIN
    ][tensor.is_double]


cdef bint bind_tensor(
    binding_t *b, tensor_t *tensor, Py_ssize_t k, const table_t *table, object index, bint trusted,
) except -1:
    """Note what a loop needs to know of a tensor, once its arrays are known; False where they need a closer look."""
    cdef Py_ssize_t s
    cdef int axis, dtype = PyArray_TYPE(tensor.arrays[0])
    cdef bint strided
    if dtype != cnp.NPY_FLOAT and dtype != cnp.NPY_DOUBLE:
        return False
    tensor.is_double = dtype == cnp.NPY_DOUBLE
    tensor.layout = CONTIGUOUS
    for s in range(k):
        if not same_shape(tensor.arrays[s], tensor.arrays[0], s == GRAD and index is not None):
            return False
        if PyArray_TYPE(tensor.arrays[s]) != dtype and not (s == GRAD and trusted):
            return False
        if s != GRAD:
            tensor.layout &= layout_of(tensor.arrays[s])
        tensor.data[s] = PyArray_DATA(tensor.arrays[s])
    tensor.convert = conversion_of(tensor.arrays[GRAD], tensor, table)
    tensor.add = <chunk_t>table.add[tensor.is_double]
    tensor.grad_itemsize = PyArray_ITEMSIZE(tensor.arrays[GRAD])
    if index is not None:
        return bind_rows(b, tensor, k, index)
    strided = not layout_of(tensor.arrays[GRAD]) & tensor.layout or tensor.convert != NULL
    if strided:
        tensor.walk = <walk_t *>malloc(sizeof(walk_t))
        if tensor.walk == NULL:
            raise MemoryError
        if not plan(tensor.walk, tensor.arrays, k):
            return False
        tensor.walk.bound_axes = PyArray_NDIM(tensor.arrays[0])
        for axis in range(tensor.walk.bound_axes):
            tensor.walk.bound_lengths[axis] = PyArray_DIMS(tensor.arrays[0])[axis]
            for s in range(k):
                tensor.walk.bound_strides[s][axis] = PyArray_STRIDES(tensor.arrays[s])[axis]
    b.size += size_of(tensor.arrays[0])
    tensor.end = b.size
    return True


cdef bint bind_rows(binding_t *b, tensor_t *tensor, Py_ssize_t k, object index) except -1:
    """Note which rows of its arrays a tensor is, with the rows of the gradient for each of them."""
    cdef array_t *rows = plain(<PyObject *>index, False)
    cdef array_t *model = tensor.arrays[0]
    cdef array_t *array
    cdef Py_ssize_t s, reach, n
    cdef int axis
    if (
        rows == NULL or PyArray_TYPE(rows) != cnp.NPY_INT64 or PyArray_NDIM(rows) != 1 or not layout_of(rows)
        or PyArray_NDIM(model) < 1
    ):
        return False
    n = PyArray_DIMS(rows)[0]
    if PyArray_DIMS(tensor.arrays[GRAD])[0] != n:
        return False
    tensor.rows = rows_of(<const int64_t *>PyArray_DATA(rows), n, PyArray_DIMS(model)[0])
    if tensor.rows == NULL:
        return False
    for s in range(k):
        array = tensor.arrays[s]
        if not PyArray_FLAGS(array) & cnp.NPY_ARRAY_ALIGNED:
            return False
        reach = PyArray_ITEMSIZE(array)
        for axis in range(PyArray_NDIM(array) - 1 if size_of(array) else 0, 0, -1):
            if PyArray_DIMS(array)[axis] != 1 and PyArray_STRIDES(array)[axis] != reach:
                return False
            reach *= PyArray_DIMS(array)[axis]
        tensor.rows.strides[s] = PyArray_STRIDES(array)[0]
        if s != GRAD and size_of(array) and overlaps_itself(array, PyArray_ITEMSIZE(array)):
            return False
    tensor.rows.length = 1
    for axis in range(1, PyArray_NDIM(model)):
        tensor.rows.length *= PyArray_DIMS(model)[axis]
    b.size += tensor.rows.n * tensor.rows.length
    tensor.end = b.size
    return True


cdef rows_t *rows_of(const int64_t *index, Py_ssize_t n, Py_ssize_t n_rows) except? NULL:
    """The distinct rows among `index`; NULL without an exception if one is not in a table of `n_rows`.

    They are found by a hash table, half empty, of positions among them, counted from 1.
    """
    cdef Py_ssize_t i, size = 4, shift = 62
    cdef uint64_t slot
    cdef int64_t u
    while size < 2 * n:
        size *= 2
        shift -= 1
    cdef rows_t *rows = <rows_t *>malloc(sizeof(rows_t) + (4 * n + size) * sizeof(int64_t))
    if rows == NULL:
        raise MemoryError
    rows.row = <int64_t *>(rows + 1)
    rows.first, rows.next = rows.row + n, rows.row + 2 * n
    cdef int64_t *last = rows.row + 3 * n  # of each distinct row, its last row in the gradient so far
    cdef int64_t *slots = rows.row + 4 * n
    rows.n = 0
    memset(slots, 0, size * sizeof(int64_t))
    for i in range(n):
        if not 0 <= index[i] < n_rows:
            free(rows)
            return NULL
        rows.next[i] = -1
        slot = (<uint64_t>index[i] * <uint64_t>0x9E3779B97F4A7C15) >> shift  # Fibonacci hashing
        while slots[slot] != 0 and rows.row[slots[slot] - 1] != index[i]:
            slot = (slot + 1) & <uint64_t>(size - 1)
        u = slots[slot] - 1
        if u >= 0:
            rows.next[last[u]] = i
            last[u] = i
        else:
            rows.row[rows.n], rows.first[rows.n], last[rows.n] = index[i], i, i
            rows.n += 1
            slots[slot] = rows.n
    return rows


cdef bint bind_spans(binding_t *b, bint trusted) noexcept:
    """Sort the memory of all arrays; False where two overlap of which one is written."""
    cdef Py_ssize_t i, t, s, n_spans = 0, n_written = 0
    cdef uintptr_t end = 0, written_end = 0
    cdef span_t span
    cdef tensor_t *tensor
    for i in range(b.n_parts):
        for s in range(b.parts[i].rule.n_streams):
            for t in range(b.parts[i].begin, b.parts[i].end):
                tensor = b.tensors + t
                span = span_of(tensor.arrays[s], PyArray_ITEMSIZE(tensor.arrays[s]), s != GRAD)
                if span.begin < span.end:
                    b.spans[n_spans] = span
                    n_spans += 1
    sort(b.spans, b.spans + n_spans, n_spans)
    for i in range(n_spans):
        span = b.spans[i]
        if span.begin < (end if span.written else written_end) and not trusted:
            return False
        end = max(end, span.end)
        if span.written:
            # Where trusted ones interleave, ends that do not ascend would mislead the search.
            written_end = span.end = max(written_end, span.end)
            b.spans[n_written] = span
            n_written += 1
    b.n_written = n_written
    return True


cdef bint meets_written(const binding_t *b, span_t span) noexcept:
    """Whether `span` overlaps an array that is written."""
    cdef Py_ssize_t low = 0, high = b.n_written, middle
    while low < high:  # to the first array that ends behind the beginning of `span`
        middle = (low + high) // 2
        if b.spans[middle].end <= span.begin:
            low = middle + 1
        else:
            high = middle
    return low < b.n_written and b.spans[low].begin < span.end


cdef bint unchanged(const tensor_t *tensor, Py_ssize_t k, Py_ssize_t begin) noexcept:
    """Whether nobody has resized, reshaped, retyped or closed the arrays of a tensor, which begins at `begin`."""
    cdef array_t **arrays = tensor.arrays
    cdef Py_ssize_t s
    cdef int axis
    for s in range(k):
        if s == GRAD:
            continue
        if not (
            PyArray_DATA(arrays[s]) == tensor.data[s]
            and plain(<PyObject *>arrays[s], True) != NULL
            and alike(arrays[s], arrays[0])
            and layout_of(arrays[s]) & tensor.layout == tensor.layout
        ):
            return False
        if tensor.walk != NULL:
            if PyArray_NDIM(arrays[s]) != tensor.walk.bound_axes:
                return False
            for axis in range(tensor.walk.bound_axes):
                if (
                    PyArray_DIMS(arrays[s])[axis] != tensor.walk.bound_lengths[axis]
                    or PyArray_STRIDES(arrays[s])[axis] != tensor.walk.bound_strides[s][axis]
                ):
                    return False
    return (
        size_of(arrays[0]) == tensor.end - begin
        and (PyArray_TYPE(arrays[0]) == cnp.NPY_DOUBLE) == tensor.is_double
    )


cdef inline Py_ssize_t itemsize_of(const tensor_t *tensor) noexcept nogil:
    return sizeof(double) if tensor.is_double else sizeof(float)


cdef inline bint is_float(array_t *array) noexcept nogil:
    """Whether the elements are numbers of a type that a gradient may have."""
    cdef int dtype = PyArray_TYPE(array)
    return dtype == cnp.NPY_FLOAT or dtype == cnp.NPY_DOUBLE or dtype == NPY_HALF or dtype == cnp.NPY_VOID


cdef bint fits(array_t *grad, const tensor_t *tensor, const table_t *table) noexcept:
    """Whether a gradient looks like the one that was bound."""
    return (
        same_shape(grad, tensor.arrays[0], 0)
        and PyArray_ITEMSIZE(grad) == tensor.grad_itemsize
        and is_float(grad)
        and conversion_of(grad, tensor, table) == tensor.convert
        and (tensor.walk != NULL or layout_of(grad) & tensor.layout)
    )


# Tensors that are not NumPy's.

cdef struct lender_t:
    # The last type that was seen, and its table of functions: mostly all tensors have one.
    PyObject *kind
    const exchange_t *exchange
    bint may_be_negated  # as PyTorch's, which may keep the negatives of what they are


cdef void *lent(lender_t *lender, PyObject *item, const tensor_t *tensor) except? NULL:
    """The memory of a gradient that is no array, if it looks like the one that was bound, else NULL."""
    cdef dl_tensor_t seen
    cdef void *data
    if tensor.walk != NULL or not tensor.layout & cnp.NPY_ARRAY_C_CONTIGUOUS:
        return NULL
    data = looks_like(lender, item, tensor.arrays[0], &seen)
    if data != NULL and lender.may_be_negated and (<object>item).is_neg():
        return NULL
    return data


cdef void *looks_like(lender_t *lender, PyObject *item, array_t *model, dl_tensor_t *seen) except? NULL:
    """The memory of a tensor in C order with dtype and shape of `model`, else NULL."""
    cdef PyObject *kind = <PyObject *>Py_TYPE(item)
    cdef void *data
    cdef int axis
    if kind != lender.kind:
        lender.kind, lender.exchange = kind, exchange_of(<object>kind)
        lender.may_be_negated = hasattr(<object>kind, "is_neg")
    if lender.exchange == NULL:
        return NULL
    data = floats_of(lender.exchange, item, seen)
    if data == NULL or seen.dtype.bits != 8 * PyArray_ITEMSIZE(model) or seen.ndim != PyArray_NDIM(model):
        return NULL
    for axis in range(seen.ndim):
        if seen.shape[axis] != PyArray_DIMS(model)[axis]:
            return NULL
    return data


cdef int64_t *count_of(counter) except? NULL:
    """The number in an array of one int64, or NULL for None."""
    cdef array_t *array = <array_t *><PyObject *>counter
    if counter is None:
        return NULL
    if not PyArray_CheckExact(<PyObject *>counter) or PyArray_TYPE(array) != cnp.NPY_INT64 or size_of(array) != 1:
        raise SystemError("counter: expected an array of one int64")
    return <int64_t *>PyArray_DATA(array)


cdef void run(const part_t *part, const tensor_t *tensor, void **x, Py_ssize_t n) noexcept nogil:
    """Update elements that lie end to end: whole vectors, and the rest by the loops of the build for any processor."""
    cdef const void *c = <const void *>part.c.of_double if tensor.is_double else <const void *>part.c.of_float
    cdef Py_ssize_t s, rest = n & (VECTOR // sizeof(double) - 1 if tensor.is_double else VECTOR // sizeof(float) - 1)
    cdef void *y[MAX_STREAMS]
    if n != rest:
        part.rule.update[tensor.is_double](x, n - rest, c)
    if rest != 0:
        for s in range(part.rule.n_streams):
            y[s] = <char *>x[s] + (n - rest) * itemsize_of(tensor)
        part.rule.rest[tensor.is_double](y, rest, c)


cdef inline void run_row(
    const part_t *part, const tensor_t *tensor, void **x, Py_ssize_t n,
) noexcept nogil:
    """Update elements that lie end to end.

    A vector as long as a cache line that starts between two touches both: the elements up to the first line go by
    themselves (measured: Adam on a million float32 took 1.7 times as long otherwise).
    """
    cdef Py_ssize_t s, head = 0, itemsize = itemsize_of(tensor)
    if n >= LONG:
        head = <Py_ssize_t>(-<uintptr_t>x[0] % CACHE_LINE) // itemsize
        run(part, tensor, x, head)
        for s in range(part.rule.n_streams):
            x[s] = <char *>x[s] + head * itemsize
    run(part, tensor, x, n - head)


cdef void run_contiguous(const part_t *part, const tensor_t *tensor, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t s, itemsize = itemsize_of(tensor)
    cdef void *x[MAX_STREAMS]
    for s in range(part.rule.n_streams):
        x[s] = <char *>tensor.data[s] + start * itemsize
    run_row(part, tensor, x, n)


cdef inline char *element(const walk_t *walk, Py_ssize_t s, char *data, const Py_ssize_t *index) noexcept nogil:
    cdef int axis
    for axis in range(walk.n_axes):
        data += index[axis] * walk.strides[s][axis]
    return data


cdef void run_strided(const part_t *part, const tensor_t *tensor, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Update elements in the order of the walk: what does not lie end to end is copied to the cache and back.

    It goes band by band of rows where an array is denser across them, else row by row where rows lie end to end, else
    chunk by chunk.
    """
    cdef Py_ssize_t s, length, size, itemsize = itemsize_of(tensor), k = part.rule.n_streams
    cdef Py_ssize_t index[MAX_AXES]
    # Chunks at one distance of a multiple of 4096 bytes would be taken for each other by the processor.
    cdef char packed[BLOCKS * (BAND * COLUMNS * 8 + CACHE_LINE) + CACHE_LINE]  # more than chunks of all streams need
    cdef Py_ssize_t chunk = CONVERTED if tensor.convert != NULL else CHUNK
    cdef char *aligned = packed + <Py_ssize_t>(-<uintptr_t>packed % CACHE_LINE)
    cdef void *x[MAX_STREAMS]
    cdef const walk_t *walk = tensor.walk
    cdef Py_ssize_t last = walk.n_axes - 1, row = walk.lengths[walk.n_axes - 1]
    while n > 0:
        seek(walk, start, index)
        if walk.crossed and index[last] == 0 and walk.lengths[last - 1] - index[last - 1] >= BAND and n >= BAND * row:
            run_band(part, tensor, index, aligned)
            length = BAND * row
        elif walk.rows:
            length = min(n, row - index[last])
            for s in range(k):
                x[s] = element(walk, s, <char *>tensor.data[s], index)
            run_row(part, tensor, x, length)
        else:
            length = min(n, chunk)
            for s in range(k):
                size = tensor.grad_itemsize if s == GRAD else itemsize
                if walk.direct[s]:
                    x[s] = <char *>tensor.data[s] + start * size
                else:
                    x[s] = aligned + s * (chunk * 8 + CACHE_LINE)
                    transfer(walk, s, <char *>tensor.data[s], <char *>x[s], index, length, size, False)
            if tensor.convert != NULL:
                tensor.convert(x[GRAD], aligned + k * (chunk * 8 + CACHE_LINE), length)
                x[GRAD] = aligned + k * (chunk * 8 + CACHE_LINE)
            run(part, tensor, x, length)
            for s in range(k):
                if s != GRAD and not walk.direct[s]:
                    transfer(walk, s, <char *>tensor.data[s], <char *>x[s], index, length, itemsize, True)
        start += length
        n -= length


cdef void run_band(
    const part_t *part, const tensor_t *tensor, Py_ssize_t *index, char *packed,
) noexcept nogil:
    """Update `BAND` whole rows, block by block of columns."""
    cdef const walk_t *walk = tensor.walk
    cdef Py_ssize_t s, i, columns, itemsize = itemsize_of(tensor), k = part.rule.n_streams
    cdef Py_ssize_t last = walk.n_axes - 1, column = 0, row = walk.lengths[walk.n_axes - 1], n_copied = 0
    cdef char *begin[MAX_STREAMS]
    cdef char *block[MAX_STREAMS]
    cdef void *x[MAX_STREAMS]
    for s in range(k):
        begin[s] = element(walk, s, <char *>tensor.data[s], index)
        block[s] = packed + n_copied * (BAND * COLUMNS * itemsize + CACHE_LINE)
        n_copied += walk.copied[s]
    while column < row:
        columns = min(COLUMNS, row - column)
        for s in range(k):
            if walk.copied[s]:
                transfer_block(walk, s, begin[s], block[s], BAND, columns, itemsize, False)
        for i in range(BAND):
            for s in range(k):
                x[s] = block[s] + i * columns * itemsize if walk.copied[s] else begin[s] + i * walk.strides[s][last - 1]
            run(part, tensor, x, columns)
        for s in range(k):
            if walk.copied[s] and s != GRAD:
                transfer_block(walk, s, begin[s], block[s], BAND, columns, itemsize, True)
            begin[s] += columns * walk.strides[s][last]
        column += columns


cdef void run_rows(const part_t *part, const tensor_t *tensor, Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Update elements of rows of a table; where a row has several gradients, these are summed in their order first."""
    cdef const rows_t *rows = tensor.rows
    cdef Py_ssize_t s, i, length, itemsize = itemsize_of(tensor), k = part.rule.n_streams
    cdef Py_ssize_t u = start // rows.length, offset = start % rows.length
    cdef char packed[2 * (CHUNK * 8 + CACHE_LINE)]
    cdef char *sums = packed + <Py_ssize_t>(-<uintptr_t>packed % CACHE_LINE)
    cdef char *more = sums + CHUNK * itemsize
    cdef const char *grad
    cdef int64_t j
    cdef void *x[MAX_STREAMS]
    while n > 0:
        if offset == 0 and u + AHEAD < rows.n:
            for s in range(k):
                if s != GRAD:
                    grad = <const char *>tensor.data[s] + rows.row[u + AHEAD] * rows.strides[s]
                    for i in range(min(rows.length * itemsize, FETCHED) // CACHE_LINE + 1):
                        prefetch(grad + i * CACHE_LINE)
        length = min(n, rows.length - offset)
        for s in range(k):
            x[s] = <char *>tensor.data[s] + rows.row[u] * rows.strides[s] + offset * itemsize
        j = rows.first[u]
        grad = <const char *>tensor.data[GRAD] + offset * tensor.grad_itemsize
        x[GRAD] = <void *>(grad + j * rows.strides[GRAD])
        if rows.next[j] >= 0 or tensor.convert != NULL:
            length = min(length, CHUNK)
            take_row(tensor, x[GRAD], sums, length)
            x[GRAD] = sums
            j = rows.next[j]
            while j >= 0:
                take_row(tensor, grad + j * rows.strides[GRAD], more, length)
                tensor.add(more, sums, length)
                j = rows.next[j]
        run(part, tensor, x, length)
        n -= length
        offset += length
        if offset == rows.length:
            offset = 0
            u += 1


cdef inline void take_row(const tensor_t *tensor, const void *grad, void *to, Py_ssize_t n) noexcept nogil:
    """Copy a piece of a row of the gradient, in the parameter's type."""
    if tensor.convert != NULL:
        tensor.convert(grad, to, n)
    else:
        memcpy(to, grad, n * itemsize_of(tensor))


cdef void run_range(const binding_t *b, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef control_word word = save_and_flush_to_zero()
    cdef Py_ssize_t i, t, begin = 0, first, last
    for i in range(b.n_parts):
        for t in range(b.parts[i].begin, b.parts[i].end):
            first, last = max(start, begin), min(stop, b.tensors[t].end)
            if first < last:
                if b.tensors[t].rows != NULL:
                    run_rows(b.parts + i, b.tensors + t, first - begin, last - first)
                elif b.tensors[t].walk == NULL:
                    run_contiguous(b.parts + i, b.tensors + t, first - begin, last - first)
                else:
                    run_strided(b.parts + i, b.tensors + t, first - begin, last - first)
            begin = b.tensors[t].end
    restore(word)


cdef int run_all(const binding_t *b) except -1:
    if b.size < SHORT:
        run_range(b, 0, b.size)
    else:
        with nogil:
            run_range(b, 0, b.size)
    return 0


cdef class Bound:
    """Arrays, looked at and ready for their rules; made by `Kernels.bind`."""

    cdef Kernels kernels
    cdef tuple rules               # of the parts
    cdef tuple parts               # per part and stream a tuple of arrays: they own what the binding points to
    cdef tuple grads               # the gradients in place of those that were bound first
    cdef bint released             # whether the gradients that were bound first are gone
    cdef tuple owners              # tensors that lend their memory, if any, and the arrays that were made of it
    cdef tuple views
    cdef binding_t b

    def __dealloc__(self):
        unbind(&self.b)

    @property
    def size(self):
        return self.b.size

    def load(self, tuple values not None):
        """Make the scalars of the next step from the hyper-parameters of each part."""
        cdef Py_ssize_t i
        if len(values) != self.b.n_parts:
            raise SystemError("hyper-parameters of another number of parts")
        for i in range(self.b.n_parts):
            self.kernels.take_values(self.b.parts[i].number, self.rules[i], <tuple?>values[i], &self.b.parts[i].c)

    def rebind(self, tuple grads not None, bint looked_at=False):
        """Take other gradients, a sequence per part; return whether they and all bound arrays need no closer look."""
        cdef Py_ssize_t i, t, k, begin = 0
        cdef tuple given
        cdef list copies = []
        cdef array_t *array
        cdef tensor_t *tensor
        cdef PyObject *item
        cdef span_t span
        cdef lender_t lender = lender_t(NULL, NULL, False)
        if len(grads) != self.b.n_parts or not (looked_at or self.in_place()):
            return False
        for i in range(self.b.n_parts):
            given = tuple(grads[i])
            if len(given) != self.b.parts[i].end - self.b.parts[i].begin:
                return False
            copies.append(given)
        for i in range(self.b.n_parts):
            k, given = self.b.parts[i].rule.n_streams, <tuple>copies[i]
            for t in range(self.b.parts[i].begin, self.b.parts[i].end):
                tensor = self.b.tensors + t
                if tensor.rows != NULL or not unchanged(tensor, k, begin):
                    return False
                item = PyTuple_GetItem(given, t - self.b.parts[i].begin)
                array = plain(item, False)
                if array == NULL:
                    tensor.next_grad = lent(&lender, item, tensor)
                    if tensor.next_grad == NULL:
                        return False
                elif fits(array, tensor, &self.kernels.table):
                    tensor.next_grad = PyArray_DATA(array)
                else:
                    return False
                begin = tensor.end
        for i in range(self.b.n_parts):
            k, given = self.b.parts[i].rule.n_streams, <tuple>copies[i]
            for t in range(self.b.parts[i].begin, self.b.parts[i].end):
                tensor = self.b.tensors + t
                if tensor.next_grad != tensor.data[GRAD] or tensor.walk != NULL:  # else it was looked at before
                    item = PyTuple_GetItem(given, t - self.b.parts[i].begin)
                    if tensor.walk != NULL:
                        array = <array_t *>item
                        span = span_of(array, tensor.grad_itemsize, False)
                    else:
                        span.begin = <uintptr_t>tensor.next_grad
                        span.end = span.begin + size_of(tensor.arrays[0]) * tensor.grad_itemsize
                    if span.begin < span.end and meets_written(&self.b, span):
                        return False
                    tensor.data[GRAD] = tensor.next_grad
                    if tensor.walk != NULL:
                        tensor.arrays[GRAD] = array
                        plan(tensor.walk, tensor.arrays, k)
        self.grads = tuple(copies)
        return True

    def watch(self, tuple owners not None, tuple arrays not None):
        """Have `rebind` see to it that `arrays` are still where their owners, which are not NumPy's, have them."""
        self.owners, self.views = owners, arrays

    cdef bint in_place(self) except -1:
        """Whether the memory of no tensor that is watched has been exchanged for other."""
        cdef Py_ssize_t i
        cdef lender_t lender = lender_t(NULL, NULL, False)
        cdef dl_tensor_t seen
        cdef array_t *array
        if self.owners is None:
            return True
        for i in range(len(self.owners)):
            array = <array_t *>PyTuple_GetItem(self.views, i)
            if looks_like(&lender, PyTuple_GetItem(self.owners, i), array, &seen) != PyArray_DATA(array):
                return False
        return True

    def release(self):
        """Let go of the gradients."""
        self.grads = None
        if not self.released:
            self.parts = tuple([(streams[0], *streams[GRAD + 1:]) for streams in self.parts])
            self.released = True

    def run(self, counter=None):
        """Update all arrays; add 1 to `counter`, an array of one int64, in the same breath."""
        cdef int64_t *count = count_of(counter)
        if count != NULL:
            count[0] += 1
        run_all(&self.b)

    def run_range(self, Py_ssize_t start, Py_ssize_t stop):
        """Update the elements from `start` up to `stop` of all parameters laid end to end."""
        if start < 0 or stop > self.b.size:
            raise SystemError("a range beyond the arrays")
        with nogil:
            run_range(&self.b, start, stop)

    def share(self, Py_ssize_t length, counter=None):
        """Return the update of all arrays as work for several threads, in ranges of `length`."""
        cdef Shared shared = Shared.__new__(Shared)
        shared.bound, shared.counter, shared.count = self, counter, count_of(counter)
        shared.length, shared.left = length, self.b.size
        return shared


cdef class Shared:
    """The update of bound arrays by several threads together, range by range; made by `Bound.share`.

    A thread needs the GIL only to begin: one that waited for it between ranges could keep the others waiting, when a
    spinning BLAS worker has its processor.
    """

    cdef Bound bound
    cdef object counter
    cdef int64_t *count
    cdef Py_ssize_t length              # of a range
    cdef Py_ssize_t begun               # elements handed out
    cdef Py_ssize_t left                # elements not done
    cdef PyThread_type_lock finished    # free once all are done

    def __cinit__(self):
        self.finished = PyThread_allocate_lock()
        if self.finished == NULL:
            raise MemoryError
        PyThread_acquire_lock(self.finished, NOWAIT_LOCK)

    def __dealloc__(self):
        if self.finished != NULL:
            PyThread_free_lock(self.finished)

    def take(self):
        """Do ranges until none is left."""
        cdef Bound bound = self.bound
        with nogil:
            self.take_ranges(&bound.b)

    def finish(self):
        """Do ranges until none is left, and wait for those of other threads; to be called once."""
        cdef Bound bound = self.bound
        with nogil:
            self.take_ranges(&bound.b)
            PyThread_acquire_lock(self.finished, WAIT_LOCK)
            PyThread_release_lock(self.finished)

    cdef void take_ranges(self, const binding_t *b) noexcept nogil:
        cdef Py_ssize_t start, stop
        while True:
            start = fetch_add(&self.begun, self.length)
            if start >= b.size:
                return
            if start == 0 and self.count != NULL:
                self.count[0] += 1
            stop = min(start + self.length, b.size)
            run_range(b, start, stop)
            if fetch_add(&self.left, start - stop) == stop - start:
                PyThread_release_lock(self.finished)


cdef class Kernels:
    """The loops of one instruction set, "v4", "v3" or "baseline"; see fastopt/kernels/_backend.py."""

    cdef readonly str name, isa
    cdef table_t table
    cdef range_t ranges[MAX_RULES][MAX_HYPERS]
    cdef dict numbers  # of the rules in the table
    cdef Py_ssize_t temporary  # references to an array that nobody but the caller of `apply` knows

    def __init__(self, str isa not None, Py_ssize_t temporary):
        cdef fill_t fill = rules_v4 if isa == "v4" else rules_v3 if isa == "v3" else rules_baseline
        if fill == NULL:
            raise ImportError(f"the {isa} kernels cannot run: this build has none")
        rules_baseline(&self.table)  # with the functions that make scalars
        fill(&self.table)
        self.name, self.isa, self.numbers, self.temporary = "cython", isa, {}, temporary

    @property
    def n_rows(self):
        """Number of rules in the table."""
        return self.table.n_rules

    def row(self, Py_ssize_t i):
        """Return name, number of arrays, of scalars and of hyper-parameters of a rule in the table."""
        cdef const rule_t *row = &self.table.rules[i]
        if (
            self.table.n_rules > MAX_RULES or row.n_streams > MAX_STREAMS
            or row.n_scalars > MAX_SCALARS or row.n_hypers > MAX_HYPERS
        ):
            raise SystemError("a bound in rule.pxd is too small")
        return <bytes>row.name, row.n_streams, row.n_scalars, row.n_hypers

    def add(self, rule not None, Py_ssize_t number, tuple kinds not None, tuple lows not None, tuple highs not None):
        """Take the rule of a row, with kind, smallest and largest value of each hyper-parameter."""
        cdef Py_ssize_t i
        for i in range(self.table.rules[number].n_hypers):
            self.ranges[number][i] = range_t(kinds[i], lows[i], highs[i])
        self.numbers[rule] = number

    cdef int take_values(self, Py_ssize_t number, rule, tuple values, values_t *c) except -1:
        """Store the scalars of a rule; a value that is not plain, or out of its range, is the rule's to judge."""
        cdef const rule_t *row = &self.table.rules[number]
        cdef const range_t *allowed = self.ranges[number]
        cdef double h[MAX_HYPERS]
        cdef Py_ssize_t i
        cdef bint plain_values = True
        if len(values) != row.n_hypers:
            raise SystemError("another number of hyper-parameters than the rule has")
        for i in range(row.n_hypers):
            if not take_value(PyTuple_GetItem(values, i), allowed + i, h + i):
                plain_values = False
                break
        if not (plain_values and row.scalars(h, c.of_double)):
            scalars = rule.scalars_of(*values)
            for i in range(row.n_scalars):
                c.of_double[i] = scalars[i]
        for i in range(row.n_scalars):
            c.of_float[i] = <float>c.of_double[i]
        return 0

    def bind(self, tuple rules not None, tuple parts not None, bint trusted=False, tuple rows=None):
        """Return `Bound` arrays, or None where they need a closer look.

        For each rule there is a part: its streams, each a sequence of arrays: parameters, gradients, states. Those that
        are trusted have been looked at and are known not to overlap. With `rows`, a part has a sequence of indices, or
        None, for each of its tensors.
        """
        cdef Bound bound = Bound.__new__(Bound)
        cdef list copied = [], numbers = []
        cdef tuple streams
        cdef Py_ssize_t i
        for i in range(len(rules)):
            streams = tuples_of(parts[i])
            if streams is None:
                return None
            copied.append(streams)
            numbers.append(self.numbers[rules[i]])
        bound.kernels, bound.rules, bound.parts = self, rules, tuple(copied)
        return bound if bind_all(&bound.b, &self.table, numbers, bound.parts, rows, trusted) else None

    def apply(self, rule not None, tuple arrays not None, tuple values not None, Py_ssize_t limit):
        """Update fewer than `limit` elements at once; return False where that cannot be, with nothing done.

        `arrays` are a single tensor's, or lists of them.
        """
        cdef binding_t b  # on the stack: making an object takes as long as updating a small array
        cdef values_t c
        cdef Py_ssize_t number = self.numbers[rule]
        cdef bint fits
        cdef tuple owners
        cdef PyObject *param = PyTuple_GetItem(arrays, 0)
        self.take_values(number, rule, values, &c)
        b.n_tensors, b.memory = 0, NULL
        try:
            if PyArray_CheckExact(param):
                if Py_REFCNT(param) <= self.temporary and PyArray_BASE(<array_t *>param) == NULL:
                    return False
                fits = bind_one(&b, &self.table, number, arrays)
            else:
                owners = tuples_of(arrays)
                fits = owners is not None and bind_all(&b, &self.table, [number], (owners,), None, False)
            if fits and b.size < limit:
                b.parts.c = c
                run_all(&b)
                return True
            return False
        finally:
            unbind(&b)

    def sums_of_squares(self, tuple arrays not None, Py_ssize_t start, Py_ssize_t stop):
        """Return the sums of squares of blocks `start` up to `stop`, or None for arrays that need the general way."""
        cdef Py_ssize_t t, n = len(arrays), size = 0
        cdef array_t *array
        cdef double *sums = <double *>malloc((stop - start) * sizeof(double) + 1)
        cdef void **data = <void **>malloc(n * (sizeof(void *) + sizeof(Py_ssize_t) + sizeof(bint)) + 1)
        cdef Py_ssize_t *ends = <Py_ssize_t *>(data + n)
        cdef bint *doubles = <bint *>(ends + n)
        try:
            if sums == NULL or data == NULL:
                raise MemoryError
            for t in range(n):
                array = plain(PyTuple_GetItem(arrays, t), False)
                if array == NULL or not layout_of(array):
                    return None
                size += size_of(array)
                data[t], ends[t], doubles[t] = PyArray_DATA(array), size, PyArray_TYPE(array) == cnp.NPY_DOUBLE
            with nogil:
                for t in range(start, stop):
                    sums[t - start] = self.table.sum_of_block(data, ends, doubles, n, t)
            return [sums[t] for t in range(stop - start)]
        finally:
            free(sums)
            free(data)


def best_isa():
    """Return the best instruction set that processor and operating system support: "v4", "v3" or "baseline"."""
    return "v4" if cpu_has_v4() else "v3" if cpu_has_v3() else "baseline"

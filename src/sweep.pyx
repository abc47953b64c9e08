# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True, embedsignature=True
"""The sweep: arrays checked once, then a rule over any range of the elements of all arrays laid end to end.

The loops come from `rules.pyx`, which is built once for each instruction set; all builds are linked to this module.
"""

cimport numpy as cnp
from cpython.float cimport PyFloat_CheckExact
from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_CheckExact
from cpython.pythread cimport (
    NOWAIT_LOCK, WAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock,
    PyThread_type_lock,
)
from cpython.ref cimport PyObject
from libc.math cimport INFINITY, pow, sqrt
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc

from atomic cimport fetch_add
from cpu cimport cpu_has_v3, cpu_has_v4
from flush_to_zero cimport control_word, restore, save_and_flush_to_zero
from rule cimport MAX_RULES, MAX_SCALARS, MAX_STREAMS, fill_t, rule_t, table_t, update_t

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
    bint PyArray_ISNOTSWAPPED(array_t *array) nogil
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
    SHORT = 8192     # elements up to which a sweep is over before another thread could be told to go on
    CONTIGUOUS = cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_F_CONTIGUOUS


# Looking at an array.

cdef inline array_t *plain(PyObject *item, bint written) noexcept nogil:
    """`item` if it is an array that a loop can run over, apart from its shape and dtype, else NULL."""
    if not PyArray_CheckExact(item):
        return NULL
    cdef array_t *array = <array_t *>item
    cdef int flags = PyArray_FLAGS(array)
    if (
        flags & CONTIGUOUS
        and flags & cnp.NPY_ARRAY_ALIGNED
        and (flags & cnp.NPY_ARRAY_WRITEABLE or not written)
        and PyArray_ISNOTSWAPPED(array)
    ):
        return array
    return NULL


cdef inline bint alike(array_t *array, array_t *model) noexcept nogil:
    """Whether dtype and shape are those of `model`."""
    cdef int axis
    if PyArray_TYPE(array) != PyArray_TYPE(model) or PyArray_NDIM(array) != PyArray_NDIM(model):
        return False
    for axis in range(PyArray_NDIM(model)):
        if PyArray_DIMS(array)[axis] != PyArray_DIMS(model)[axis]:
            return False
    return True


cdef inline Py_ssize_t size_of(array_t *array) noexcept nogil:
    cdef Py_ssize_t size = 1
    cdef int axis
    for axis in range(PyArray_NDIM(array)):
        size *= PyArray_DIMS(array)[axis]
    return size


# The memory of arrays, to see which overlap.

cdef struct span_t:
    uintptr_t begin
    uintptr_t end
    bint written


cdef inline span_t span_of(array_t *array, bint is_double, bint written) noexcept nogil:
    cdef uintptr_t begin = <uintptr_t>PyArray_DATA(array)
    return span_t(begin, begin + size_of(array) * (sizeof(double) if is_double else sizeof(float)), written)


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


cdef enum:
    SMALL = 44  # pointers: a single tensor with five streams


cdef class Sweep:
    """Ordinary arrays, checked and ready for a rule; made by `Kernels.bind`."""

    cdef readonly Py_ssize_t size  # elements of all tensors
    cdef Kernels kernels
    cdef Py_ssize_t n_tensors, n_streams, n_written
    cdef tuple streams             # tuples of arrays, or arrays where there is a single tensor: they own what follows
    cdef tuple grads               # the gradients in place of those that were bound first
    cdef void *memory              # what the following point into, unless a single tensor fits in here
    cdef void *small[SMALL]
    cdef void **data               # data[tensor * n_streams + stream]
    cdef array_t **arrays          # in the same order; the gradients' may be gone
    cdef span_t *spans             # memory of all arrays that are written, sorted
    cdef Py_ssize_t *ends          # elements of all tensors up to and including this one
    cdef int *layouts              # per tensor, the contiguity flags that all written arrays have in common
    cdef bint *doubles             # per tensor, whether it is float64

    def __dealloc__(self):
        free(self.memory)

    cdef bint take(self, Kernels kernels, tuple streams, tuple others) except -1:
        """Bind the arrays, or return False where they need a closer look; gradients must not overlap `others`."""
        cdef object stream
        cdef Py_ssize_t s, t, n_spans, n_bytes, n = 1, k = len(streams)
        cdef bint single = PyArray_CheckExact(PyTuple_GetItem(streams, 0))
        cdef list copies
        self.kernels = kernels
        if not single:
            copies = []
            for stream in streams:
                if not isinstance(stream, (list, tuple)):
                    return False
                copies.append(tuple(stream))
            n = len(<tuple>copies[0])
            for stream in copies:
                if len(<tuple>stream) != n:
                    return False
            streams = tuple(copies)
        self.streams, self.n_tensors, self.n_streams = streams, n, k
        n_spans = n * k + len(others)
        n_bytes = (
            n * k * (sizeof(void *) + sizeof(array_t *)) + 2 * n_spans * sizeof(span_t)
            + n * (sizeof(Py_ssize_t) + sizeof(int) + sizeof(bint))
        )
        if n_bytes <= <Py_ssize_t>sizeof(self.small):
            self.data = self.small
        else:
            self.memory = malloc(n_bytes)
            if self.memory == NULL:
                raise MemoryError
            self.data = <void **>self.memory
        self.arrays = <array_t **>(self.data + n * k)
        self.spans = <span_t *>(self.arrays + n * k)
        self.ends = <Py_ssize_t *>(self.spans + 2 * n_spans)  # behind the scratch space of the sort
        self.layouts = <int *>(self.ends + n)
        self.doubles = <bint *>(self.layouts + n)
        for s in range(k):
            if single:
                self.arrays[s] = plain(PyTuple_GetItem(streams, s), s != GRAD)
            else:
                for t in range(n):
                    self.arrays[t * k + s] = plain(PyTuple_GetItem(<tuple>streams[s], t), s != GRAD)
        return self.take_tensors() and self.take_spans(others)

    cdef bint take_tensors(self) noexcept:
        cdef Py_ssize_t t, s, k = self.n_streams
        cdef int dtype, grad_layout
        cdef array_t *array
        cdef array_t *model
        for t in range(self.n_tensors):
            self.layouts[t] = grad_layout = CONTIGUOUS
            model = self.arrays[t * k]
            for s in range(k):
                array = self.arrays[t * k + s]
                if array == NULL or not alike(array, model):
                    return False
                if s == GRAD:
                    grad_layout = PyArray_FLAGS(array)
                else:
                    self.layouts[t] &= PyArray_FLAGS(array)
                self.data[t * k + s] = PyArray_DATA(array)
            dtype = PyArray_TYPE(model)
            if dtype != cnp.NPY_FLOAT and dtype != cnp.NPY_DOUBLE or not grad_layout & self.layouts[t]:
                return False
            self.doubles[t] = dtype == cnp.NPY_DOUBLE
            self.size += size_of(model)
            self.ends[t] = self.size
        return True

    cdef bint take_spans(self, tuple others) except -1:
        """Sort the memory of all arrays; False where two overlap of which one is written."""
        cdef Py_ssize_t t, s, i, n_spans = 0, n_written = 0
        cdef uintptr_t end = 0, written_end = 0
        cdef span_t span
        cdef array_t *array
        for s in range(self.n_streams):
            for t in range(self.n_tensors):
                span = span_of(self.arrays[t * self.n_streams + s], self.doubles[t], s != GRAD)
                if span.begin < span.end:
                    self.spans[n_spans] = span
                    n_spans += 1
        for t in range(len(others)):
            array = plain(PyTuple_GetItem(others, t), True)
            if array == NULL:
                return False
            span = span_of(array, PyArray_TYPE(array) == cnp.NPY_DOUBLE, True)
            if span.begin < span.end:
                self.spans[n_spans] = span
                n_spans += 1
        sort(self.spans, self.spans + n_spans, n_spans)
        for i in range(n_spans):
            span = self.spans[i]
            if span.begin < (end if span.written else written_end):
                return False
            end = max(end, span.end)
            if span.written:
                written_end = span.end
                self.spans[n_written] = span
                n_written += 1
        self.n_written = n_written
        return True

    cdef bint meets_written(self, span_t span) noexcept:
        """Whether `span` overlaps an array that is written."""
        cdef Py_ssize_t low = 0, high = self.n_written, middle
        while low < high:  # to the first array that ends behind the beginning of `span`
            middle = (low + high) // 2
            if self.spans[middle].end <= span.begin:
                low = middle + 1
            else:
                high = middle
        return low < self.n_written and self.spans[low].begin < span.end

    cdef bint unchanged(self, Py_ssize_t t, Py_ssize_t begin) noexcept:
        """Whether nobody has resized, reshaped, retyped or closed the arrays of tensor `t`, which begins there."""
        cdef array_t **arrays = self.arrays + t * self.n_streams
        cdef Py_ssize_t s
        for s in range(self.n_streams):
            if s != GRAD and not (
                PyArray_DATA(arrays[s]) == self.data[t * self.n_streams + s]
                and plain(<PyObject *>arrays[s], True) != NULL
                and PyArray_FLAGS(arrays[s]) & self.layouts[t] == self.layouts[t]
                and alike(arrays[s], arrays[0])
            ):
                return False
        return (
            size_of(arrays[0]) == self.ends[t] - begin
            and (PyArray_TYPE(arrays[0]) == cnp.NPY_DOUBLE) == self.doubles[t]
        )

    def rebind(self, grads):
        """Take other gradients; return whether they and all bound arrays need no closer look."""
        cdef tuple given = tuple(grads)
        cdef Py_ssize_t t, begin = 0, k = self.n_streams
        cdef array_t *array
        if len(given) != self.n_tensors:
            return False
        for t in range(self.n_tensors):
            array = plain(PyTuple_GetItem(given, t), False)
            if array == NULL or not (
                self.unchanged(t, begin)
                and alike(array, self.arrays[t * k])
                and PyArray_FLAGS(array) & self.layouts[t]
            ):
                return False
            begin = self.ends[t]
        for t in range(self.n_tensors):
            array = <array_t *>PyTuple_GetItem(given, t)
            if PyArray_DATA(array) != self.data[t * k + GRAD]:  # else it was looked up before
                if size_of(array) and self.meets_written(span_of(array, self.doubles[t], False)):
                    return False
                self.data[t * k + GRAD] = PyArray_DATA(array)
        self.grads = given
        return True

    def release(self):
        """Let go of the gradients."""
        self.grads = None
        if len(self.streams) == self.n_streams:  # with those that were bound first
            self.streams = self.streams[:GRAD] + self.streams[GRAD + 1:]

    def run(self, str rule, tuple scalars not None, Py_ssize_t start, Py_ssize_t stop):
        """Apply `rule` to the elements from `start` up to `stop`."""
        self.apply(rule, scalars, start, stop)

    def share(self, str rule not None, tuple scalars not None, Py_ssize_t length):
        """Return `rule` over all elements as work for several threads, in ranges of `length`."""
        cdef Shared shared = Shared.__new__(Shared)
        shared.sweep, shared.rule = self, self.look_up(rule, scalars, shared.c)
        shared.length, shared.left = length, self.size
        return shared

    cdef const rule_t *look_up(self, str rule, tuple scalars, double *c) except NULL:
        """The rule by its name, with `scalars` in `c`."""
        cdef const rule_t *found = self.kernels.rule(rule)
        cdef Py_ssize_t i
        if len(scalars) != found.n_scalars or self.n_streams != found.n_streams:
            raise SystemError(f"{rule}: {len(scalars)} scalars, {self.n_streams} arrays")
        for i in range(found.n_scalars):
            c[i] = scalars[i]
        return found

    cdef int apply(self, str rule, tuple scalars, Py_ssize_t start, Py_ssize_t stop) except -1:
        cdef double c[MAX_SCALARS]
        cdef const rule_t *found = self.look_up(rule, scalars, c)
        if start < 0 or stop > self.size:
            raise SystemError(f"{rule}: range {start}:{stop} of {self.size}")
        self.sweep(found, c, start, stop)
        return 0

    cdef int sweep(self, const rule_t *rule, const double *c, Py_ssize_t start, Py_ssize_t stop) except -1:
        if stop - start < SHORT:
            self.run_range(rule, c, start, stop)
        else:
            with nogil:
                self.run_range(rule, c, start, stop)
        return 0

    cdef void run_range(self, const rule_t *rule, const double *c, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
        cdef control_word word = save_and_flush_to_zero()
        cdef Py_ssize_t t, s, begin = 0, first, last, head, itemsize, k = self.n_streams
        cdef void *x[MAX_STREAMS]
        cdef update_t update
        for t in range(self.n_tensors):
            first, last = max(start, begin), min(stop, self.ends[t])
            if first < last:
                update = rule.update_double if self.doubles[t] else rule.update_float
                itemsize = sizeof(double) if self.doubles[t] else sizeof(float)
                for s in range(k):
                    x[s] = <char *>self.data[t * k + s] + (first - begin) * itemsize
                # A vector as long as a cache line that starts between two touches both: the elements up to the first
                # line go by themselves (measured: Adam on a million float32 took 1.7 times as long otherwise).
                head = 0
                if last - first >= LONG:
                    head = <Py_ssize_t>(-<uintptr_t>x[0] % CACHE_LINE) // itemsize
                    update(x, head, c)
                    for s in range(k):
                        x[s] = <char *>x[s] + head * itemsize
                update(x, last - first - head, c)
            begin = self.ends[t]
        restore(word)


cdef class Shared:
    """A sweep that several threads do together, range by range; made by `Sweep.share`.

    A thread needs the GIL only to begin: one that waited for it between ranges could keep the others waiting, when a
    spinning BLAS worker has its processor.
    """

    cdef Sweep sweep
    cdef const rule_t *rule
    cdef double c[MAX_SCALARS]
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
        cdef Sweep sweep = self.sweep
        with nogil:
            self.take_ranges(sweep)

    def finish(self):
        """Do ranges until none is left, and wait for those of other threads; to be called once."""
        cdef Sweep sweep = self.sweep
        with nogil:
            self.take_ranges(sweep)
            PyThread_acquire_lock(self.finished, WAIT_LOCK)
            PyThread_release_lock(self.finished)

    cdef void take_ranges(self, Sweep sweep) noexcept nogil:
        cdef Py_ssize_t start, stop
        while True:
            start = fetch_add(&self.begun, self.length)
            if start >= sweep.size:
                return
            stop = min(start + self.length, sweep.size)
            sweep.run_range(self.rule, self.c, start, stop)
            if fetch_add(&self.left, start - stop) == stop - start:
                PyThread_release_lock(self.finished)


cdef class Kernels:
    """A backend, see fastopt/kernels/_backend.py: the loops of one instruction set behind the sweep.

    Parameters
    ----------
    isa : {"v4", "v3", "baseline"}
        Name of the instruction set.

    Raises
    ------
    ImportError
        This build has no loops for it.
    """

    cdef readonly str name, isa
    cdef readonly bint TAKES_ANY_LENGTH
    cdef table_t table
    cdef dict numbers
    cdef const rule_t *adam
    cdef const rule_t *amsgrad

    def __init__(self, str isa not None):
        cdef const rule_t *rule
        cdef fill_t fill = rules_v4 if isa == "v4" else rules_v3 if isa == "v3" else rules_baseline
        if fill == NULL:
            raise ImportError(f"the {isa} kernels cannot run: this build has none")
        fill(&self.table)
        for i in range(self.table.n_rules):
            rule = &self.table.rules[i]
            if i + 1 == MAX_RULES or rule.n_streams > MAX_STREAMS or rule.n_scalars > MAX_SCALARS:
                raise SystemError(f"{rule.name.decode()}: a bound in rule.pxd is too small")
        self.name, self.isa, self.TAKES_ANY_LENGTH = "cython", isa, True
        self.numbers = {self.table.rules[i].name.decode(): i for i in range(self.table.n_rules)}
        self.adam, self.amsgrad = self.rule("adam"), self.rule("amsgrad")

    cdef const rule_t *rule(self, str name) except NULL:
        return &self.table.rules[<Py_ssize_t>self.numbers[name]]

    def bind(self, tuple streams not None, tuple others not None=()):
        """Return a `Sweep` over ordinary arrays, or None where they need a closer look.

        `others` are arrays that are written at the same step; gradients must not share memory with them either.
        """
        cdef Sweep sweep = Sweep.__new__(Sweep)
        return sweep if sweep.take(self, streams, others) else None

    def apply(self, str rule not None, tuple arrays not None, tuple scalars not None, Py_ssize_t limit):
        """Bind and sweep fewer than `limit` elements at once; return False where that cannot be, with nothing done."""
        cdef Sweep sweep = Sweep.__new__(Sweep)
        if not sweep.take(self, arrays, ()) or sweep.size >= limit:
            return False
        sweep.apply(rule, scalars, 0, sweep.size)
        return True

    def apply_adam(
        self, tuple arrays not None, Py_ssize_t limit,
        step, lr, beta1, beta2, eps, eps_hat, weight_decay, bint decoupled, grad_scale, clip_value,
    ):
        """`apply` for Adam, from its hyper-parameters: on a small array, making scalars in Python takes longest."""
        cdef double c[MAX_SCALARS]
        cdef Sweep sweep
        if not adam_scalars(
            c, step, lr, beta1, beta2, eps, eps_hat, weight_decay, decoupled, grad_scale, clip_value,
        ):
            return False
        sweep = Sweep.__new__(Sweep)
        if not sweep.take(self, arrays, ()) or sweep.size >= limit:
            return False
        sweep.sweep(self.adam if len(arrays) == self.adam.n_streams else self.amsgrad, c, 0, sweep.size)
        return True

    def adam_scalars(
        self, step, lr, beta1, beta2, eps, eps_hat, weight_decay, bint decoupled, grad_scale, clip_value,
    ):
        """Return what `_scalars.adam` returns, or None for arguments that need a check."""
        cdef double c[MAX_SCALARS]
        if not adam_scalars(
            c, step, lr, beta1, beta2, eps, eps_hat, weight_decay, decoupled, grad_scale, clip_value,
        ):
            return None
        return c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]

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
                if array == NULL:
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

    def update(self, str rule not None, tuple arrays not None, tuple scalars not None):
        """Apply `rule` to contiguous one-dimensional arrays of one dtype."""
        cdef Sweep sweep = self.bind(arrays)
        if sweep is None:
            raise SystemError(f"{rule}: arrays that are not contiguous, or not alike")
        sweep.apply(rule, scalars, 0, sweep.size)


cdef bint adam_scalars(
    double *c, step, lr, beta1, beta2, eps, eps_hat, weight_decay, bint decoupled, grad_scale, clip_value,
) except -1:
    """The scalars of `adam`, as fastopt/kernels/_scalars.py makes them; False for arguments that need a check."""
    cdef int overflow
    if not (
        PyFloat_CheckExact(lr) and PyFloat_CheckExact(beta1) and PyFloat_CheckExact(beta2) and PyFloat_CheckExact(eps)
        and PyFloat_CheckExact(weight_decay) and PyFloat_CheckExact(grad_scale) and PyFloat_CheckExact(clip_value)
        and PyLong_CheckExact(step) and (eps_hat is True or eps_hat is False)
    ):
        return False
    cdef double rate = lr, b1 = beta1, b2 = beta2, e = eps, decay = weight_decay, scale = grad_scale, limit = clip_value
    cdef double t = PyLong_AsLongAndOverflow(step, &overflow), correction
    if not (
        1 <= t and 0 <= rate < INFINITY and 0 <= b1 < 1 and 0 <= b2 < 1 and 0 <= e < INFINITY and 0 <= decay < INFINITY
        and -INFINITY < scale < INFINITY and limit >= 0 and not overflow
    ):
        return False
    correction = sqrt(1 - pow(b2, t))
    c[0], c[1], c[2] = scale, limit, (0 if decoupled else decay)
    c[3], c[4], c[5] = (1 - rate * decay if decoupled else 1), 1 - b1, 1 - b2
    c[6], c[7] = rate * correction / (1 - pow(b1, t)), (e if eps_hat is True else e * correction)
    return True


def best_isa():
    """Return the best instruction set that processor and operating system support: "v4", "v3" or "baseline"."""
    return "v4" if cpu_has_v4() else "v3" if cpu_has_v3() else "baseline"

"""Copies of strided elements to the cache and back."""

from libc.string cimport memcpy

from rule cimport MAX_STREAMS

cdef enum:
    MAX_AXES = 64  # NumPy's bound


cdef struct walk_t:
    # The order in which the elements of a tensor's arrays are visited: axes from the outermost to the innermost.
    int n_axes
    Py_ssize_t lengths[MAX_AXES]
    Py_ssize_t strides[MAX_STREAMS][MAX_AXES]
    bint direct[MAX_STREAMS]  # whether the elements lie end to end in this order
    bint rows                 # whether they do in every array along the innermost axis, which is long
    bint copied[MAX_STREAMS]  # whether the innermost axis cannot be run over as it lies
    bint crossed              # whether an array is denser along the axis before the innermost one
    # What shape and strides of the written arrays were when they were bound.
    int bound_axes
    Py_ssize_t bound_lengths[MAX_AXES]
    Py_ssize_t bound_strides[MAX_STREAMS][MAX_AXES]


cdef inline void copy(
    char *to, Py_ssize_t to_stride, char *source, Py_ssize_t stride, Py_ssize_t n, Py_ssize_t itemsize,
) noexcept nogil:
    """Copy `n` elements, which may be misaligned."""
    cdef Py_ssize_t i
    if stride == itemsize and to_stride == itemsize:
        memcpy(to, source, n * itemsize)
    elif itemsize == sizeof(float):
        for i in range(n):
            memcpy(to + i * to_stride, source + i * stride, sizeof(float))
    else:
        for i in range(n):
            memcpy(to + i * to_stride, source + i * stride, sizeof(double))


cdef inline void transfer(
    const walk_t *walk, Py_ssize_t s, char *data, char *packed, const Py_ssize_t *start, Py_ssize_t n,
    Py_ssize_t itemsize, bint scatter,
) noexcept nogil:
    """Copy `n` elements of stream `s`, from index `start` on, to `packed` or back."""
    cdef Py_ssize_t index[MAX_AXES]
    cdef Py_ssize_t run, last = walk.n_axes - 1, stride = walk.strides[s][last]
    cdef int axis
    for axis in range(walk.n_axes):
        index[axis] = start[axis]
        data += index[axis] * walk.strides[s][axis]
    while n > 0:
        run = min(n, walk.lengths[last] - index[last])
        if scatter:
            copy(data, stride, packed, itemsize, run, itemsize)
        else:
            copy(packed, itemsize, data, stride, run, itemsize)
        packed += run * itemsize
        n -= run
        index[last] += run
        data += run * stride
        axis = last
        while axis > 0 and index[axis] == walk.lengths[axis]:
            data += walk.strides[s][axis - 1] - walk.lengths[axis] * walk.strides[s][axis]
            index[axis] = 0
            axis -= 1
            index[axis] += 1


cdef inline void transfer_block(
    const walk_t *walk, Py_ssize_t s, char *data, char *packed, Py_ssize_t rows, Py_ssize_t columns,
    Py_ssize_t itemsize, bint scatter,
) noexcept nogil:
    """Copy a block of the two innermost axes to `packed`, whose rows lie end to end, or back, column by column."""
    cdef Py_ssize_t i, down = walk.strides[s][walk.n_axes - 2], along = walk.strides[s][walk.n_axes - 1]
    for i in range(columns):
        if scatter:
            copy(data + i * along, down, packed + i * itemsize, columns * itemsize, rows, itemsize)
        else:
            copy(packed + i * itemsize, columns * itemsize, data + i * along, down, rows, itemsize)

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
    # What shape and strides of the written arrays were when they were bound.
    int bound_axes
    Py_ssize_t bound_lengths[MAX_AXES]
    Py_ssize_t bound_strides[MAX_STREAMS][MAX_AXES]


cdef inline void copy_floats(
    char *to, Py_ssize_t to_stride, char *source, Py_ssize_t stride, Py_ssize_t n,
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        memcpy(to + i * to_stride, source + i * stride, sizeof(float))  # which may be misaligned


cdef inline void copy_doubles(
    char *to, Py_ssize_t to_stride, char *source, Py_ssize_t stride, Py_ssize_t n,
) noexcept nogil:
    cdef Py_ssize_t i
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
        if stride == itemsize:
            memcpy(data if scatter else packed, packed if scatter else data, run * itemsize)
        elif itemsize == sizeof(float):
            if scatter:
                copy_floats(data, stride, packed, sizeof(float), run)
            else:
                copy_floats(packed, sizeof(float), data, stride, run)
        elif scatter:
            copy_doubles(data, stride, packed, sizeof(double), run)
        else:
            copy_doubles(packed, sizeof(double), data, stride, run)
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

"""Copies of strided elements to the cache and back."""

from libc.string cimport memcpy

from rule cimport MAX_AXES, walk_t


cdef inline void pack(
    char *packed, char *data, Py_ssize_t stride, Py_ssize_t n, Py_ssize_t itemsize, bint scatter,
) noexcept nogil:
    """Copy `n` elements of a row; `itemsize` is a constant where this is called."""
    cdef Py_ssize_t i
    if scatter:
        for i in range(n):
            memcpy(data + i * stride, packed + i * itemsize, itemsize)
    else:
        for i in range(n):
            memcpy(packed + i * itemsize, data + i * stride, itemsize)


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
        elif itemsize == 4:
            pack(packed, data, stride, run, 4, scatter)
        else:
            pack(packed, data, stride, run, 8, scatter)
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

"""Gradients of another type than their parameter's, and sums of gradients: a chunk at a time, in the cache."""

from cython cimport floating as real
from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcpy

from rule cimport BRAIN, HALF, OTHER, table_t


cdef inline float from_bits(uint32_t bits) noexcept nogil:
    cdef float x
    memcpy(&x, &bits, sizeof(x))
    return x


cdef inline float half(uint16_t bits) noexcept nogil:
    """IEEE 754's binary16; its subnormal numbers are multiples of 2**-24, which binary32 has as normal ones."""
    cdef uint32_t sign = <uint32_t>(bits & 0x8000) << 16, magnitude = bits & 0x7FFF
    cdef uint32_t wide = (magnitude << 13) + ((127 - 15) << 23)
    cdef float small = <float><int>magnitude * <float>5.9604644775390625e-08
    cdef uint32_t of_small
    memcpy(&of_small, &small, sizeof(small))
    wide += ((127 - 15) << 23) if magnitude >= 0x7C00 else 0  # infinity and NaN
    return from_bits(sign | (of_small if magnitude < 0x0400 else wide))


cdef inline float brain(uint16_t bits) noexcept nogil:
    """bfloat16: the upper half of binary32."""
    return from_bits(<uint32_t>bits << 16)


cdef inline void convert_half(const uint16_t *g, real *to, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        to[i] = half(g[i])


cdef inline void convert_brain(const uint16_t *g, real *to, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        to[i] = brain(g[i])


cdef inline void narrow(const double *g, float *to, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        to[i] = <float>g[i]


cdef inline void widen(const float *g, double *to, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        to[i] = g[i]


cdef inline void add(const real *g, real *to, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        to[i] += g[i]


cdef inline void fill_gradients(table_t *table) noexcept nogil:
    """Enter the functions above, for float32 and for float64."""
    table.convert[HALF][0] = <void *>convert_half[float]
    table.convert[HALF][1] = <void *>convert_half[double]
    table.convert[BRAIN][0] = <void *>convert_brain[float]
    table.convert[BRAIN][1] = <void *>convert_brain[double]
    table.convert[OTHER][0] = <void *>narrow
    table.convert[OTHER][1] = <void *>widen
    table.add[0] = <void *>add[float]
    table.add[1] = <void *>add[double]

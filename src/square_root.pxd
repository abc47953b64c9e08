"""The square root in the type of its argument: C's `sqrt` of a float computes in double and is not vectorized."""

from cython cimport floating

cdef extern from "<math.h>" nogil:
    float sqrtf(float x)
    double sqrt_of_double "sqrt"(double x)

cdef inline floating sqrt(floating x) noexcept nogil:
    if floating is float:
        return sqrtf(x)
    else:
        return sqrt_of_double(x)

"""The functions that the loops use beside + - * / and comparisons, float32 and float64; NaN stays NaN.

Inline functions that return one value vectorize within a loop; one that returns several does not.
"""

from cython cimport floating as real

cdef extern from "<math.h>" nogil:
    float sqrtf(float x)
    double sqrt_of_double "sqrt"(double x)
    double exp(double x)  # of scalars alone, as is log
    double log(double x)


cdef inline real sqrt(real x) noexcept nogil:
    """The square root in the type of `x`: C's `sqrt` of a float computes in double and is not vectorized."""
    if real is float:
        return sqrtf(x)
    else:
        return sqrt_of_double(x)


cdef inline real clip(real x, real limit) noexcept nogil:
    """`x` within plus and minus `limit`."""
    x = -limit if x < -limit else x
    return limit if x > limit else x


cdef inline real maximum(real a, real b) noexcept nogil:
    """The larger one."""
    return a if (a > b) | (a != a) else b  # `or` would branch, and keep the loop scalar


cdef inline real nonnegative(real x) noexcept nogil:
    """`x`, or 0 where it is negative."""
    return 0 if x < 0 else x


cdef inline real sign(real x) noexcept nogil:
    """-1, 0 or 1."""
    return 1 if x > 0 else -1 if x < 0 else x - x  # 0 for both zeros


cdef inline real where(bint condition, real a, real b) noexcept nogil:
    """`a` where the condition holds, else `b`; a comparison with NaN does not hold."""
    return a if condition else b

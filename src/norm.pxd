"""Sums of squares by lanes and blocks, as fastopt/kernels/_norm.py defines them."""

from cython cimport floating as real

cdef enum:
    LANES = 16
    BLOCK = 65536


cdef inline Py_ssize_t add_squares(const real *g, Py_ssize_t n, Py_ssize_t lane, double *lanes) noexcept nogil:
    """Add the squares of `g` to the lanes, beginning with `lane`; return the next lane."""
    cdef Py_ssize_t i = 0, j
    cdef double x
    cdef double sums[LANES]
    while lane != 0 and i < n:
        x = g[i]
        lanes[lane] += x * x
        lane = (lane + 1) % LANES
        i += 1
    for j in range(LANES):  # a local copy, which the compiler keeps in registers
        sums[j] = lanes[j]
    while i + LANES <= n:
        for j in range(LANES):
            x = g[i + j]
            sums[j] += x * x
        i += LANES
    for j in range(LANES):
        lanes[j] = sums[j]
    while i < n:
        x = g[i]
        lanes[lane] += x * x
        lane += 1
        i += 1
    return lane


cdef inline double sum_of_block(
    void **data, const Py_ssize_t *ends, const bint *doubles, Py_ssize_t n, Py_ssize_t block,
) noexcept nogil:
    """The sum of squares of one block of the elements of `n` arrays laid end to end."""
    cdef double lanes[LANES]
    cdef Py_ssize_t t, first, last, lane = 0, begin = 0, start = block * BLOCK, half = LANES // 2
    for t in range(LANES):
        lanes[t] = 0.0
    for t in range(n):
        first, last = max(start, begin), min(start + BLOCK, ends[t])
        if first < last:
            if doubles[t]:
                lane = add_squares(<const double *>data[t] + (first - begin), last - first, lane, lanes)
            else:
                lane = add_squares(<const float *>data[t] + (first - begin), last - first, lane, lanes)
        begin = ends[t]
    while half > 0:
        for t in range(half):
            lanes[t] += lanes[t + half]
        half //= 2
    return lanes[0]

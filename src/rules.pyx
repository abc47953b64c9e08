# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Fused update rules, float32 and float64: one loop each, compiled once for each instruction set.

The loops know pointers, a length and scalars. They use only + - * / sqrt in the order as written, which IEEE 754
rounds correctly; so every backend and instruction set gives the same bits, as long as the compiler contracts nothing to
a fused multiply-add.

They are written the way that vectorizes (measured): the formula stands in the loop itself, since an inline function
that returns several values keeps the loop scalar.
"""

from cython cimport floating as real

from rule cimport BLOCK, LANES, MAX_RULES, rule_t, table_t, update_t
from square_root cimport sqrt


# The rules. x: parameter, gradient (only read), state arrays; c: scalars, computed in float64 and cast once here.

cdef inline real clip(real x, real limit) noexcept nogil:
    """`x` within +-`limit`; NaN stays NaN."""
    x = -limit if x < -limit else x
    return limit if x > limit else x


cdef void sgd(real **x, Py_ssize_t n, const double *c) noexcept nogil:
    cdef real *p = x[0]
    cdef const real *g = x[1]
    cdef real scale = <real>c[0], limit = <real>c[1], decay = <real>c[2], lr = <real>c[3], grad
    cdef Py_ssize_t i
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        p[i] -= lr * grad


cdef void momentum(real **x, Py_ssize_t n, const double *c) noexcept nogil:
    cdef real *p = x[0]
    cdef const real *g = x[1]
    cdef real *b = x[2]
    cdef real scale = <real>c[0], limit = <real>c[1], decay = <real>c[2], grad
    cdef real mu = <real>c[3], a = <real>c[4], c1 = <real>c[5], c2 = <real>c[6]
    cdef Py_ssize_t i
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        b[i] = mu * b[i] + a * grad
        p[i] -= c1 * b[i] + c2 * grad


cdef void adagrad(real **x, Py_ssize_t n, const double *c) noexcept nogil:
    cdef real *p = x[0]
    cdef const real *g = x[1]
    cdef real *s = x[2]
    cdef real scale = <real>c[0], limit = <real>c[1], decay = <real>c[2], grad
    cdef real lr = <real>c[3], eps_in = <real>c[4], eps_out = <real>c[5]
    cdef Py_ssize_t i
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        s[i] += grad * grad
        p[i] -= lr * grad / (sqrt(s[i] + eps_in) + eps_out)


cdef void rmsprop(real **x, Py_ssize_t n, const double *c) noexcept nogil:
    cdef real *p = x[0]
    cdef const real *g = x[1]
    cdef real *s = x[2]
    cdef real scale = <real>c[0], limit = <real>c[1], decay = <real>c[2], grad
    cdef real a = <real>c[3], eps_in = <real>c[4], eps_out = <real>c[5], lr = <real>c[6]
    cdef Py_ssize_t i
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        s[i] += a * (grad * grad - s[i])
        p[i] -= lr * grad / (sqrt(s[i] + eps_in) + eps_out)


cdef void rmsprop_momentum(real **x, Py_ssize_t n, const double *c) noexcept nogil:
    cdef real *p = x[0]
    cdef const real *g = x[1]
    cdef real *s = x[2]
    cdef real *b = x[3]
    cdef real scale = <real>c[0], limit = <real>c[1], decay = <real>c[2], grad
    cdef real a = <real>c[3], eps_in = <real>c[4], eps_out = <real>c[5]
    cdef real mu = <real>c[6], k = <real>c[7], lr = <real>c[8]
    cdef Py_ssize_t i
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        s[i] += a * (grad * grad - s[i])
        b[i] = mu * b[i] + k * grad / (sqrt(s[i] + eps_in) + eps_out)
        p[i] -= lr * b[i]


cdef inline real variance(real s, real m) noexcept nogil:
    """The mean square less the squared mean, which rounding can make slightly negative; NaN stays NaN."""
    cdef real d = s - m * m
    return 0 if d < 0 else d


cdef void rmsprop_centered(real **x, Py_ssize_t n, const double *c) noexcept nogil:
    cdef real *p = x[0]
    cdef const real *g = x[1]
    cdef real *s = x[2]
    cdef real *m = x[3]
    cdef real scale = <real>c[0], limit = <real>c[1], decay = <real>c[2], grad
    cdef real a = <real>c[3], eps_in = <real>c[4], eps_out = <real>c[5], lr = <real>c[6]
    cdef Py_ssize_t i
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        s[i] += a * (grad * grad - s[i])
        m[i] += a * (grad - m[i])
        p[i] -= lr * grad / (sqrt(variance(s[i], m[i]) + eps_in) + eps_out)


cdef void rmsprop_centered_momentum(real **x, Py_ssize_t n, const double *c) noexcept nogil:
    cdef real *p = x[0]
    cdef const real *g = x[1]
    cdef real *s = x[2]
    cdef real *m = x[3]
    cdef real *b = x[4]
    cdef real scale = <real>c[0], limit = <real>c[1], decay = <real>c[2], grad
    cdef real a = <real>c[3], eps_in = <real>c[4], eps_out = <real>c[5]
    cdef real mu = <real>c[6], k = <real>c[7], lr = <real>c[8]
    cdef Py_ssize_t i
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        s[i] += a * (grad * grad - s[i])
        m[i] += a * (grad - m[i])
        b[i] = mu * b[i] + k * grad / (sqrt(variance(s[i], m[i]) + eps_in) + eps_out)
        p[i] -= lr * b[i]


cdef void adam(real **x, Py_ssize_t n, const double *c) noexcept nogil:
    cdef real *p = x[0]
    cdef const real *g = x[1]
    cdef real *m = x[2]
    cdef real *v = x[3]
    cdef real scale = <real>c[0], limit = <real>c[1], decay = <real>c[2], grad
    cdef real keep = <real>c[3], a1 = <real>c[4], a2 = <real>c[5], lr = <real>c[6], eps = <real>c[7]
    cdef Py_ssize_t i
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        m[i] += a1 * (grad - m[i])
        v[i] += a2 * (grad * grad - v[i])
        p[i] = keep * p[i] - lr * m[i] / (sqrt(v[i]) + eps)


cdef inline real maximum(real a, real b) noexcept nogil:
    """The larger one, or NaN where there is one."""
    return a if (a > b) | (a != a) else b  # `or` would branch, and keep the loop scalar


cdef void amsgrad(real **x, Py_ssize_t n, const double *c) noexcept nogil:
    cdef real *p = x[0]
    cdef const real *g = x[1]
    cdef real *m = x[2]
    cdef real *v = x[3]
    cdef real *v_max = x[4]
    cdef real scale = <real>c[0], limit = <real>c[1], decay = <real>c[2], grad
    cdef real keep = <real>c[3], a1 = <real>c[4], a2 = <real>c[5], lr = <real>c[6], eps = <real>c[7]
    cdef Py_ssize_t i
    for i in range(n):
        grad = clip(scale * g[i], limit) + decay * p[i]
        m[i] += a1 * (grad - m[i])
        v[i] += a2 * (grad * grad - v[i])
        v_max[i] = maximum(v_max[i], v[i])
        p[i] = keep * p[i] - lr * m[i] / (sqrt(v_max[i]) + eps)


# The norm: sums of squares by lanes and blocks, as fastopt/kernels/_norm.py defines them.

cdef Py_ssize_t add_squares(const real *g, Py_ssize_t n, Py_ssize_t lane, double *lanes) noexcept nogil:
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


cdef double sum_of_block(
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


# The table: name, loops, number of arrays and of scalars. Nothing of Python is used, so the linker drops the module
# around the loops; the name of the function that fills the table is different in each build.

cdef void add(
    table_t *table, const char *name, void *update_float, void *update_double,
    Py_ssize_t n_streams, Py_ssize_t n_scalars,
) noexcept nogil:
    if table.n_rules == MAX_RULES:
        return
    table.rules[table.n_rules] = rule_t(name, <update_t>update_float, <update_t>update_double, n_streams, n_scalars)
    table.n_rules += 1


cdef public void fill "FASTOPT_RULES"(void *to_fill) noexcept nogil:
    cdef table_t *table = <table_t *>to_fill
    table.n_rules = 0
    table.sum_of_block = sum_of_block
    add(table, b"sgd", <void *>sgd[float], <void *>sgd[double], 2, 4)
    add(table, b"momentum", <void *>momentum[float], <void *>momentum[double], 3, 7)
    add(table, b"adagrad", <void *>adagrad[float], <void *>adagrad[double], 3, 6)
    add(table, b"rmsprop", <void *>rmsprop[float], <void *>rmsprop[double], 3, 7)
    add(table, b"rmsprop_momentum", <void *>rmsprop_momentum[float], <void *>rmsprop_momentum[double], 4, 9)
    add(table, b"rmsprop_centered", <void *>rmsprop_centered[float], <void *>rmsprop_centered[double], 4, 7)
    add(
        table, b"rmsprop_centered_momentum",
        <void *>rmsprop_centered_momentum[float], <void *>rmsprop_centered_momentum[double], 5, 9,
    )
    add(table, b"adam", <void *>adam[float], <void *>adam[double], 4, 8)
    add(table, b"amsgrad", <void *>amsgrad[float], <void *>amsgrad[double], 5, 8)

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True, embedsignature=True
"""Fused update rules, float32 and float64: one loop each, called through `Sweep`, which runs one over many arrays.

The loops know pointers, a length and scalars. They use only + - * / sqrt in the order as written, which IEEE 754
rounds correctly; so every backend and instruction set gives the same bits, as long as the compiler contracts nothing to
a fused multiply-add.

They are written the way that vectorizes (measured): the formula stands in the loop itself, since an inline function
that returns several values keeps the loop scalar.
"""

cimport numpy as cnp
from cython cimport floating as real
from cpython.float cimport PyFloat_CheckExact
from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_CheckExact
from libc.math cimport INFINITY, pow
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc

from cpu cimport cpu_has_v3, cpu_has_v4
from flush_to_zero cimport control_word, restore, save_and_flush_to_zero
from square_root cimport sqrt, sqrt_of_double

cnp.import_array()


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


# The table: name, loops for float32 and float64, number of arrays and of scalars.

ctypedef void (*update_t)(void **x, Py_ssize_t n, const double *c) noexcept nogil

cdef enum:
    MAX_STREAMS = 5
    MAX_SCALARS = 9
    N_RULES = 9
    ADAM = 7
    AMSGRAD = 8
    GRAD = 1
    CACHE_LINE = 64  # bytes
    LONG = 1024      # elements from which alignment pays

cdef struct rule_t:
    const char *name
    update_t update_float
    update_t update_double
    Py_ssize_t n_streams
    Py_ssize_t n_scalars

cdef rule_t RULES[N_RULES]
RULES[0] = rule_t(b"sgd", <update_t>sgd[float], <update_t>sgd[double], 2, 4)
RULES[1] = rule_t(b"momentum", <update_t>momentum[float], <update_t>momentum[double], 3, 7)
RULES[2] = rule_t(b"adagrad", <update_t>adagrad[float], <update_t>adagrad[double], 3, 6)
RULES[3] = rule_t(b"rmsprop", <update_t>rmsprop[float], <update_t>rmsprop[double], 3, 7)
RULES[4] = rule_t(b"rmsprop_momentum", <update_t>rmsprop_momentum[float], <update_t>rmsprop_momentum[double], 4, 9)
RULES[5] = rule_t(b"rmsprop_centered", <update_t>rmsprop_centered[float], <update_t>rmsprop_centered[double], 4, 7)
RULES[6] = rule_t(
    b"rmsprop_centered_momentum",
    <update_t>rmsprop_centered_momentum[float], <update_t>rmsprop_centered_momentum[double], 5, 9,
)
RULES[ADAM] = rule_t(b"adam", <update_t>adam[float], <update_t>adam[double], 4, 8)
RULES[AMSGRAD] = rule_t(b"amsgrad", <update_t>amsgrad[float], <update_t>amsgrad[double], 5, 8)

cdef dict NUMBER = {RULES[number].name.decode(): number for number in range(N_RULES)}


# The sweep: arrays checked once, then a rule over any range of the elements of all arrays laid end to end.

cdef struct span_t:  # the memory of one array
    uintptr_t begin
    uintptr_t end
    bint written


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
    CONTIGUOUS = cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_F_CONTIGUOUS


cdef inline bint plain(object item, bint written):
    """Whether `item` is an array that a loop can run over, apart from its shape and dtype."""
    if not cnp.PyArray_CheckExact(item):
        return False
    cdef int flags = cnp.PyArray_FLAGS(<cnp.ndarray>item)
    return (
        flags & CONTIGUOUS
        and flags & cnp.NPY_ARRAY_ALIGNED
        and (flags & cnp.NPY_ARRAY_WRITEABLE or not written)
        and cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray>item)
    )


cdef inline bint alike(cnp.ndarray array, cnp.ndarray model):
    """Whether dtype and shape are those of `model`."""
    cdef int axis
    if cnp.PyArray_TYPE(array) != cnp.PyArray_TYPE(model) or cnp.PyArray_NDIM(array) != cnp.PyArray_NDIM(model):
        return False
    for axis in range(cnp.PyArray_NDIM(model)):
        if cnp.PyArray_DIM(array, axis) != cnp.PyArray_DIM(model, axis):
            return False
    return True


cdef inline span_t span_of(cnp.ndarray array, bint written):
    cdef uintptr_t begin = <uintptr_t>cnp.PyArray_DATA(array)
    return span_t(begin, begin + cnp.PyArray_NBYTES(array), written)


cdef enum:
    SMALL = 40  # pointers: a single tensor with five streams


cdef class Sweep:
    """Ordinary arrays, checked and ready for a rule; made by `bind`."""

    cdef readonly Py_ssize_t size  # elements of all tensors
    cdef Py_ssize_t n_tensors, n_streams, n_written
    cdef bint single
    cdef tuple streams             # of arrays where there is a single tensor, else of tuples of arrays
    cdef tuple grads               # the gradients in place of those that were bound first
    cdef void *memory              # what the following point into, unless a single tensor fits in here
    cdef void *small[SMALL]
    cdef void **data               # data[tensor * n_streams + stream]
    cdef span_t *spans             # memory of all arrays that are written, sorted
    cdef Py_ssize_t *ends          # elements of all tensors up to and including this one
    cdef int *layouts              # per tensor, the contiguity flags that all written arrays have in common
    cdef bint *doubles             # per tensor, whether it is float64

    def __dealloc__(self):
        free(self.memory)

    cdef bint take(self, tuple streams, tuple others) except -1:
        """Bind the arrays, or return False where they need a closer look; gradients must not overlap `others`."""
        cdef object stream
        cdef Py_ssize_t s, n_spans, n_bytes, n = 1, k = len(streams)
        cdef list copies
        self.single = cnp.PyArray_CheckExact(streams[0])
        if self.single:
            self.streams = streams
        else:
            copies = []
            for s in range(k):
                stream = streams[s]
                if not isinstance(stream, (list, tuple)):
                    return False
                copies.append(tuple(stream))
            self.streams = tuple(copies)
            n = len(<tuple>self.streams[0])
            for s in range(k):
                if len(<tuple>self.streams[s]) != n:
                    return False
        self.n_tensors, self.n_streams = n, k
        n_spans = n * k + len(others)
        n_bytes = (
            n * k * sizeof(void *) + 2 * n_spans * sizeof(span_t)
            + n * (sizeof(Py_ssize_t) + sizeof(int) + sizeof(bint))
        )
        if n_bytes <= sizeof(self.small):
            self.data = self.small
        else:
            self.memory = malloc(n_bytes)
            if self.memory == NULL:
                raise MemoryError
            self.data = <void **>self.memory
        self.spans = <span_t *>(self.data + n * k)
        self.ends = <Py_ssize_t *>(self.spans + 2 * n_spans)  # behind the scratch space of the sort
        self.layouts = <int *>(self.ends + n)
        self.doubles = <bint *>(self.layouts + n)
        return self.take_tensors() and self.take_spans(others)

    cdef inline object array(self, Py_ssize_t s, Py_ssize_t t):
        return self.streams[s] if self.single else (<tuple>self.streams[s])[t]

    cdef bint take_tensors(self) except -1:
        cdef Py_ssize_t t, s
        cdef int dtype
        cdef cnp.ndarray array, model
        cdef object item
        cdef int grad_layout
        for t in range(self.n_tensors):
            self.layouts[t] = grad_layout = CONTIGUOUS
            for s in range(self.n_streams):
                item = self.array(s, t)
                if not plain(item, s != GRAD):
                    return False
                array = <cnp.ndarray>item
                if s == 0:
                    model = array
                    dtype = cnp.PyArray_TYPE(array)
                    if dtype != cnp.NPY_FLOAT and dtype != cnp.NPY_DOUBLE:
                        return False
                    self.doubles[t] = dtype == cnp.NPY_DOUBLE
                    self.size += cnp.PyArray_SIZE(array)
                    self.ends[t] = self.size
                elif not alike(array, model):
                    return False
                if s == GRAD:
                    grad_layout = cnp.PyArray_FLAGS(array)
                else:
                    self.layouts[t] &= cnp.PyArray_FLAGS(array)
                self.data[t * self.n_streams + s] = cnp.PyArray_DATA(array)
            if not grad_layout & self.layouts[t]:
                return False
        return True

    cdef bint take_spans(self, tuple others) except -1:
        """Sort the memory of all arrays; False where two overlap of which one is written."""
        cdef Py_ssize_t t, s, i, n_spans = 0, n_written = 0
        cdef uintptr_t end = 0, written_end = 0
        cdef span_t span
        for s in range(self.n_streams):
            for t in range(self.n_tensors):
                span = span_of(<cnp.ndarray>self.array(s, t), s != GRAD)
                if span.begin < span.end:
                    self.spans[n_spans] = span
                    n_spans += 1
        for t in range(len(others)):
            if not plain(others[t], True):
                return False
            span = span_of(<cnp.ndarray>others[t], True)
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

    def rebind(self, grads):
        """Take other gradients; return whether they and all bound arrays need no closer look."""
        cdef Py_ssize_t t, s, begin, k = self.n_streams
        cdef tuple arrays = tuple(grads)
        cdef cnp.ndarray array, model
        cdef object item
        if len(arrays) != self.n_tensors:
            return False
        for s in range(k):  # nobody has resized, reshaped, retyped or closed an array since
            begin = 0
            for t in range(self.n_tensors):
                if s != GRAD:
                    array, model = <cnp.ndarray>self.array(s, t), <cnp.ndarray>self.array(0, t)
                    if (
                        cnp.PyArray_DATA(array) != self.data[t * k + s]
                        or cnp.PyArray_SIZE(array) != self.ends[t] - begin
                        or (cnp.PyArray_TYPE(array) == cnp.NPY_DOUBLE) != self.doubles[t]
                        or not alike(array, model)
                        or not plain(array, True)
                    ):
                        return False
                begin = self.ends[t]
        for t in range(self.n_tensors):
            item = arrays[t]
            if not plain(item, False):
                return False
            array, model = <cnp.ndarray>item, <cnp.ndarray>self.array(0, t)
            if not alike(array, model) or not cnp.PyArray_FLAGS(array) & self.layouts[t]:
                return False
            if cnp.PyArray_DATA(array) != self.data[t * k + GRAD]:  # else it was looked up before
                if cnp.PyArray_NBYTES(array) and self.meets_written(span_of(array, False)):
                    return False
                self.data[t * k + GRAD] = cnp.PyArray_DATA(array)
        self.grads = arrays
        return True

    def release(self):
        """Let go of the gradients."""
        self.grads = None

    def run(self, str rule, tuple scalars not None, Py_ssize_t start, Py_ssize_t stop):
        """Apply `rule` to the elements from `start` up to `stop`."""
        self.apply(rule, scalars, start, stop)

    cdef int apply(self, str rule, tuple scalars, Py_ssize_t start, Py_ssize_t stop) except -1:
        cdef rule_t *r = &RULES[<Py_ssize_t>NUMBER[rule]]
        cdef double c[MAX_SCALARS]
        cdef Py_ssize_t i
        if len(scalars) != r.n_scalars or self.n_streams != r.n_streams or start < 0 or stop > self.size:
            raise SystemError(f"{rule}: {len(scalars)} scalars, {self.n_streams} arrays, range {start}:{stop}")
        for i in range(r.n_scalars):
            c[i] = scalars[i]
        self.sweep(r, c, start, stop)
        return 0

    cdef int sweep(self, rule_t *rule, const double *c, Py_ssize_t start, Py_ssize_t stop) except -1:
        if stop - start < LONG:  # over before another thread could be told
            self.run_range(rule, c, start, stop)
        else:
            with nogil:
                self.run_range(rule, c, start, stop)
        return 0

    cdef void run_range(self, rule_t *rule, const double *c, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
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


def bind(tuple streams not None, tuple others=()):
    """Return a `Sweep` over ordinary arrays, or None where they need a closer look.

    `others` are arrays that are written at the same step; gradients must not share memory with them either.
    """
    cdef Sweep sweep = Sweep.__new__(Sweep)
    return sweep if sweep.take(streams, others) else None


def apply(str rule, tuple arrays not None, tuple scalars not None, Py_ssize_t limit):
    """Bind and sweep fewer than `limit` elements at once; return False, with nothing done, where that is not enough."""
    cdef Sweep sweep = Sweep.__new__(Sweep)
    if not sweep.take(arrays, ()) or sweep.size >= limit:
        return False
    sweep.apply(rule, scalars, 0, sweep.size)
    return True


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
    correction = sqrt_of_double(1 - pow(b2, t))
    c[0], c[1], c[2] = scale, limit, (0 if decoupled else decay)
    c[3], c[4], c[5] = (1 - rate * decay if decoupled else 1), 1 - b1, 1 - b2
    c[6], c[7] = rate * correction / (1 - pow(b1, t)), (e if eps_hat is True else e * correction)
    return True


def apply_adam(
    tuple arrays not None, Py_ssize_t limit,
    step, lr, beta1, beta2, eps, eps_hat, weight_decay, bint decoupled, grad_scale, clip_value,
):
    """`apply` for Adam, from its hyper-parameters: on a small array, scalars made in Python would take most time."""
    cdef double c[MAX_SCALARS]
    cdef Sweep sweep
    if not adam_scalars(
        c, step, lr, beta1, beta2, eps, eps_hat, weight_decay, decoupled, grad_scale, clip_value,
    ):
        return False
    sweep = Sweep.__new__(Sweep)
    if not sweep.take(arrays, ()) or sweep.size >= limit:
        return False
    sweep.sweep(&RULES[ADAM if len(arrays) == RULES[ADAM].n_streams else AMSGRAD], c, 0, sweep.size)
    return True


# The norm: sums of squares by lanes and blocks, as fastopt/kernels/_norm.py defines them.

cdef enum:
    LANES = 16
    BLOCK = 65536


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


cdef double sum_of_block(void **data, Py_ssize_t *ends, bint *doubles, Py_ssize_t n, Py_ssize_t block) noexcept nogil:
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


def sums_of_squares(tuple arrays not None, Py_ssize_t start, Py_ssize_t stop):
    """Return the sums of squares of blocks `start` up to `stop`, or None for arrays that need the general way."""
    cdef Py_ssize_t t, n = len(arrays), size = 0
    cdef cnp.ndarray array
    cdef double *sums = <double *>malloc((stop - start) * sizeof(double) + 1)
    cdef void **data = <void **>malloc(n * (sizeof(void *) + sizeof(Py_ssize_t) + sizeof(bint)) + 1)
    cdef Py_ssize_t *ends = <Py_ssize_t *>(data + n)
    cdef bint *doubles = <bint *>(ends + n)
    try:
        if sums == NULL or data == NULL:
            raise MemoryError
        for t in range(n):
            if not plain(arrays[t], False):
                return None
            array = <cnp.ndarray>arrays[t]
            size += cnp.PyArray_SIZE(array)
            data[t], ends[t], doubles[t] = cnp.PyArray_DATA(array), size, cnp.PyArray_TYPE(array) == cnp.NPY_DOUBLE
        with nogil:
            for t in range(start, stop):
                sums[t - start] = sum_of_block(data, ends, doubles, n, t)
        return [sums[t] for t in range(stop - start)]
    finally:
        free(sums)
        free(data)


# What every backend offers, see fastopt/kernels/_backend.py.

name = "cython"
isa = __name__.rpartition("_")[2]
TAKES_ANY_LENGTH = True


def update(rule, arrays, scalars):
    """Apply `rule` to contiguous one-dimensional arrays of one dtype."""
    cdef Sweep sweep = bind(arrays)
    if sweep is None:
        raise SystemError(f"{rule}: arrays that are not contiguous, or not alike")
    sweep.apply(rule, scalars, 0, sweep.size)


def best_isa():
    """Return the best instruction set that processor and operating system support: "v4", "v3" or "baseline"."""
    return "v4" if cpu_has_v4() else "v3" if cpu_has_v3() else "baseline"

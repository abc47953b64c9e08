"""What a build of the loops (rules.pyx) hands to the sweep (sweep.pyx)."""

ctypedef void (*update_t)(void **x, Py_ssize_t n, const double *c) noexcept nogil

cdef enum:
    MAX_STREAMS = 5
    MAX_SCALARS = 9
    MAX_RULES = 32

cdef struct rule_t:
    const char *name
    update_t update_float
    update_t update_double
    Py_ssize_t n_streams  # parameter, gradient, state arrays
    Py_ssize_t n_scalars

cdef struct table_t:
    rule_t rules[MAX_RULES]
    Py_ssize_t n_rules
    double (*sum_of_block)(
        void **data, const Py_ssize_t *ends, const bint *doubles, Py_ssize_t n, Py_ssize_t block,
    ) noexcept nogil

ctypedef void (*fill_t)(void *table) noexcept nogil  # fills a table_t with the rules of one build

cdef enum:
    LANES = 16     # of the norm, see fastopt/kernels/_norm.py
    BLOCK = 65536

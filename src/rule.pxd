"""The table of rules that a build of the loops (rules.pyx) hands to the module (bind.pyx)."""

ctypedef void (*update_t)(void **x, Py_ssize_t n, const void *c) noexcept nogil
ctypedef void (*chunk_t)(const void *source, void *to, Py_ssize_t n) noexcept nogil
ctypedef bint (*scalars_t)(const double *h, double *c) noexcept nogil

cdef enum:
    MAX_STREAMS = 8
    MAX_SCALARS = 16
    MAX_HYPERS = 24
    MAX_RULES = 64
    VECTOR = 64  # bytes: what `update` takes a whole number of, as long as the widest vector

cdef enum:
    HALF, BRAIN, OTHER  # types that a gradient may be converted from: the last is the other one of float32 and float64

cdef struct rule_t:
    const char *name
    update_t update[2]    # float32, float64: of whole vectors
    update_t rest[2]      # of any number of elements
    scalars_t scalars
    Py_ssize_t n_streams  # parameter, gradient, state arrays
    Py_ssize_t n_scalars
    Py_ssize_t n_hypers

cdef struct table_t:
    rule_t rules[MAX_RULES]
    Py_ssize_t n_rules
    void *convert[3][2]  # chunk_t: a gradient to the parameter's type, float32 or float64
    void *add[2]         # chunk_t: a gradient to another of the same row
    double (*sum_of_block)(
        void **data, const Py_ssize_t *ends, const bint *doubles, Py_ssize_t n, Py_ssize_t block,
    ) noexcept nogil

ctypedef void (*fill_t)(void *table) noexcept nogil  # fills a table_t with the rules of one build


cdef inline void add_rule(
    table_t *table, const char *name, update_t update_float, update_t update_double, scalars_t scalars,
    Py_ssize_t n_streams, Py_ssize_t n_scalars, Py_ssize_t n_hypers,
) noexcept nogil:
    """Add a row; those that do not fit are counted, for the reader to refuse the table.

    Without `scalars` it updates whole vectors alone, and the rest of the row is what the table has had before.
    """
    cdef rule_t *row = table.rules + table.n_rules
    if table.n_rules < MAX_RULES:
        row.name, row.n_streams, row.n_scalars, row.n_hypers = name, n_streams, n_scalars, n_hypers
        row.update[0], row.update[1] = update_float, update_double
        if scalars != NULL:
            row.rest[0], row.rest[1], row.scalars = update_float, update_double, scalars
    table.n_rules += 1

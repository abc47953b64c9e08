"""What a build of the loops (rules.pyx) hands to the module (bind.pyx): a table of rules."""

ctypedef void (*update_t)(void **x, Py_ssize_t n, const double *c) noexcept nogil
ctypedef bint (*scalars_t)(const double *h, double *c) noexcept nogil

cdef enum:
    MAX_STREAMS = 8
    MAX_SCALARS = 16
    MAX_HYPERS = 24
    MAX_RULES = 64
    MAX_AXES = 64  # NumPy's bound

cdef struct rule_t:
    const char *name
    update_t update_float
    update_t update_double
    scalars_t scalars
    Py_ssize_t n_streams  # parameter, gradient, state arrays
    Py_ssize_t n_scalars
    Py_ssize_t n_hypers

cdef struct walk_t:
    # The order in which the elements of a tensor's arrays are visited: axes from the outermost to the innermost.
    int n_axes
    Py_ssize_t lengths[MAX_AXES]
    Py_ssize_t strides[MAX_STREAMS][MAX_AXES]
    bint direct[MAX_STREAMS]  # whether the elements lie end to end in this order
    bint rows                 # whether they do in every array along the innermost axis, which is long
    bint copied[MAX_STREAMS]  # whether the innermost axis cannot be run over as it lies
    bint crossed              # whether an array is denser along the axis before the innermost one
    # What shape and strides of the written arrays were when they were bound.
    int bound_axes
    Py_ssize_t bound_lengths[MAX_AXES]
    Py_ssize_t bound_strides[MAX_STREAMS][MAX_AXES]

ctypedef void (*transfer_t)(
    const walk_t *walk, Py_ssize_t s, char *data, char *packed, const Py_ssize_t *start, Py_ssize_t n,
    Py_ssize_t itemsize, bint scatter,
) noexcept nogil

ctypedef void (*transfer_block_t)(
    const walk_t *walk, Py_ssize_t s, char *data, char *packed, Py_ssize_t rows, Py_ssize_t columns,
    Py_ssize_t itemsize, bint scatter,
) noexcept nogil

cdef struct table_t:
    rule_t rules[MAX_RULES]
    Py_ssize_t n_rules
    double (*sum_of_block)(
        void **data, const Py_ssize_t *ends, const bint *doubles, Py_ssize_t n, Py_ssize_t block,
    ) noexcept nogil
    transfer_t transfer
    transfer_block_t transfer_block

ctypedef void (*fill_t)(void *table) noexcept nogil  # fills a table_t with the rules of one build


cdef inline void add_rule(
    table_t *table, const char *name, void *update_float, void *update_double, scalars_t scalars,
    Py_ssize_t n_streams, Py_ssize_t n_scalars, Py_ssize_t n_hypers,
) noexcept nogil:
    """Add a row; those that do not fit are counted, for the reader to refuse the table."""
    if table.n_rules < MAX_RULES:
        table.rules[table.n_rules] = rule_t(
            name, <update_t>update_float, <update_t>update_double, scalars, n_streams, n_scalars, n_hypers,
        )
    table.n_rules += 1

"""Addition that several threads may do at once."""

cdef extern from *:
    """
    #ifdef _MSC_VER
    #include <intrin.h>
    #ifdef _WIN64
    #define fastopt_fetch_add(value, n) _InterlockedExchangeAdd64((volatile __int64 *)(value), n)
    #else
    #define fastopt_fetch_add(value, n) _InterlockedExchangeAdd((volatile long *)(value), n)
    #endif
    #else
    #define fastopt_fetch_add(value, n) __atomic_fetch_add(value, n, __ATOMIC_SEQ_CST)
    #endif
    """
    Py_ssize_t fetch_add "fastopt_fetch_add"(Py_ssize_t *value, Py_ssize_t n) noexcept nogil  # the value before

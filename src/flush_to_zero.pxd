"""Flush-to-zero and denormals-are-zero, scoped: `save` the caller's control word, `restore` it on the way out.

Moments of rarely touched parameters decay into the denormal range, where arithmetic is up to a hundred times slower;
to an optimizer they are zero. Each thread has a control word of its own.
"""

cdef extern from *:
    """
    #include <stdint.h>
    #if defined(__SSE2__) || defined(_M_X64)
    #include <immintrin.h>
    #define FASTOPT_FTZ_DAZ 0x8040u  /* MXCSR: bit 15 flushes results, bit 6 operands */
    static inline uint64_t fastopt_flush_to_zero(void) {
        unsigned int word = _mm_getcsr();
        _mm_setcsr(word | FASTOPT_FTZ_DAZ);
        return word;
    }
    static inline void fastopt_restore(uint64_t word) { _mm_setcsr((unsigned int)word); }
    #elif defined(__aarch64__)
    #define FASTOPT_FZ ((uint64_t)1 << 24)  /* FPCR.FZ: flushes operands and results */
    static inline uint64_t fastopt_flush_to_zero(void) {
        uint64_t word;
        __asm__ __volatile__("mrs %0, fpcr" : "=r"(word));
        __asm__ __volatile__("msr fpcr, %0" : : "r"(word | FASTOPT_FZ) : "memory");
        return word;
    }
    static inline void fastopt_restore(uint64_t word) {
        __asm__ __volatile__("msr fpcr, %0" : : "r"(word) : "memory");
    }
    #else  /* no such mode is known here: denormals stay correct and slow */
    static inline uint64_t fastopt_flush_to_zero(void) { return 0; }
    static inline void fastopt_restore(uint64_t word) { (void)word; }
    #endif
    """
    ctypedef unsigned long long control_word "uint64_t"
    control_word save_and_flush_to_zero "fastopt_flush_to_zero"() noexcept nogil
    void restore "fastopt_restore"(control_word word) noexcept nogil

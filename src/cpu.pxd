"""The processor: whether it and the operating system can run the builds for x86-64-v3 (AVX2) and x86-64-v4 (AVX-512);
fetching memory before it is needed."""

cdef extern from *:
    """
    #if defined(_MSC_VER) && defined(_M_X64)
    #include <intrin.h>
    #include <immintrin.h>
    static int fastopt_cpu_has(unsigned int saved, unsigned int features) {
        int id[4];
        __cpuid(id, 0);
        if (id[0] < 7) return 0;
        __cpuid(id, 1);
        if ((id[2] & (1 << 27)) == 0) return 0;  /* OSXSAVE: XGETBV can be used */
        if ((_xgetbv(0) & saved) != saved) return 0;
        __cpuidex(id, 7, 0);
        return ((unsigned int)id[1] & features) == features;
    }
    /* EBX of leaf 7: bit 5 AVX2; 16 F, 17 DQ, 30 BW, 31 VL of AVX-512. */
    static int fastopt_cpu_has_v3(void) { return fastopt_cpu_has(0x6, 1u << 5); }
    static int fastopt_cpu_has_v4(void) {
        return fastopt_cpu_has(0xe6, 1u << 5 | 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31);
    }
    #elif (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
    /* The builtins ask the processor, and by XGETBV whether the operating system saves the registers. */
    static int fastopt_cpu_has_v3(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2") != 0;
    }
    static int fastopt_cpu_has_v4(void) {
        return fastopt_cpu_has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
            && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    }
    #else
    static int fastopt_cpu_has_v3(void) { return 0; }
    static int fastopt_cpu_has_v4(void) { return 0; }
    #endif
    #if defined(__GNUC__) || defined(__clang__)
    #define fastopt_prefetch(address) __builtin_prefetch(address, 1)
    #else
    #define fastopt_prefetch(address) ((void)(address))
    #endif
    """
    bint cpu_has_v3 "fastopt_cpu_has_v3"() noexcept nogil
    bint cpu_has_v4 "fastopt_cpu_has_v4"() noexcept nogil
    void prefetch "fastopt_prefetch"(const void *address) noexcept nogil  # to be written

/* The memory limit of an update rule: the same streams, next to no arithmetic.

   Reads the parameter, the gradient and k state arrays; writes all of them but the gradient. The
   factor c is 0 at run time, which no compiler knows: the values stay as they are. All of it is
   repeated, so that the call from Python does not count where the arrays are small. */

#include <stddef.h>

#define UPDATE(x) x[i] += d;

#define LOOP(real, type, k, BIND, WRITE)                                        \
    static void limit_##type##_##k(real **x, size_t n, real c) {                \
        real *restrict p = x[0];                                                \
        const real *restrict g = x[1];                                          \
        BIND(real)                                                              \
        for (size_t i = 0; i < n; i++) {                                        \
            const real d = c * g[i];                                            \
            UPDATE(p) WRITE                                                     \
        }                                                                       \
    }

#define BIND_0(real)
#define BIND_1(real) real *restrict s = x[2];
#define BIND_2(real) BIND_1(real) real *restrict t = x[3];
#define BIND_3(real) BIND_2(real) real *restrict u = x[4];

#define FAMILY(real, type)                                                      \
    LOOP(real, type, 0, BIND_0, )                                               \
    LOOP(real, type, 1, BIND_1, UPDATE(s))                                      \
    LOOP(real, type, 2, BIND_2, UPDATE(s) UPDATE(t))                            \
    LOOP(real, type, 3, BIND_3, UPDATE(s) UPDATE(t) UPDATE(u))                  \
    void limit_##type(real **x, size_t n, int k, real c, int repeats) {         \
        for (; repeats > 0; repeats--) {                                        \
            switch (k) {                                                        \
                case 0: limit_##type##_0(x, n, c); break;                       \
                case 1: limit_##type##_1(x, n, c); break;                       \
                case 2: limit_##type##_2(x, n, c); break;                       \
                case 3: limit_##type##_3(x, n, c); break;                       \
            }                                                                   \
        }                                                                       \
    }

FAMILY(float, float32)
FAMILY(double, float64)

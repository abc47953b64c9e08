"""What is gained over NumPy: every rule, dtype and size, on every backend, one thread.

Against the textbook formula and against NumPy with out=, which allocates nothing. Numba should
stand beside Cython from some thousand elements on, and differ below, where the call counts.
"""

GROUP = "rules"


def test_rules(case):
    case()

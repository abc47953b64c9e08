"""What is left to gain: every rule, far out of cache, against a loop that only moves the same memory.

A fraction of 100 % means that the arithmetic is free.
"""

GROUP = "memory"


def test_memory(case):
    case()

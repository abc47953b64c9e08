"""Whether time per element stays flat: Adam from a thousand elements up to 5e8 (with --full, 8 GB of memory).

It rises once, where the arrays leave the cache, and must not rise again.
"""

GROUP = "growth"


def test_growth(case):
    case()

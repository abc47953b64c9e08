"""Who is faster, and where: the rules that peers offer, from 64 elements to 25 million, on one thread and on all.

Small arrays show the cost of a call, ten thousand elements the arithmetic in the cache, millions
the memory.
"""

GROUP = "peers"


def test_peers(case):
    case()

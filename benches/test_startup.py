"""What a program waits for before its first step: a new process that imports a library and ends.

Python alone and NumPy are the floor. How large the libraries are on the disk is in the tables of
`fastopt bench`.
"""

GROUP = "startup"


def test_startup(case):
    case()

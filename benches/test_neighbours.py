"""What training costs where other processes want the processors too.

fastopt with as many threads of BLAS as it chooses and with one, and PyTorch with its defaults.
"""

GROUP = "neighbours"


def test_neighbours(case):
    case()

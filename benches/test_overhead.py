"""What Python and the checks cost: small arrays, where the call is dearer than the arithmetic.

'arithmetic alone' runs the compiled loop over arrays that were checked and bound before: what is
left is the price of the call, of checking the arrays, and of the optimizer's bookkeeping.
"""

GROUP = "overhead"


def test_overhead(case):
    case()

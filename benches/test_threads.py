"""What threads gain, and from which size on: Adam with one thread, two, and so on, beside the limit.

Memory is shared by the cores: the limit itself does not halve.
"""

GROUP = "threads"


def test_threads(case):
    case()

"""What is left of the gain in real training: forward and backward passes alternate with the optimizer.

BLAS and the optimizer share cores and cache, so threads that pay alone may not pay here ('its
threads off'); averages of pixels that are hardly ever lit decay into denormals over an epoch; and
the optimizer is only a part of the step ('no optimizer'). An epoch is like one of Fashion-MNIST;
the spiral's step is all overhead.
"""

GROUP = "training"


def test_training(case):
    case()

"""The learning-rate range test: one short run with a growing rate shows which rates train.

`lr_find` does it for a network of `fastopt.nn`, `lr_find_step` for any function that does one step
of training. The `RangeTest` that both return suggests one rate, and `verify` compares it with lower
and higher ones in short trainings. Afterwards model and optimizer are what they were, to the bit.

The rules of fastai and PyTorch Lightning, `steepest`, `valley` and `minimum`, can be applied to
losses of any origin.

References
----------
Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3.3: the test.
"""

from fastopt.lr_finder._network import lr_find, verify
from fastopt.lr_finder._result import RangeTest
from fastopt.lr_finder._rules import minimum, steepest, valley
from fastopt.lr_finder._step import lr_find_step

__all__ = ["RangeTest", "lr_find", "lr_find_step", "minimum", "steepest", "valley", "verify"]

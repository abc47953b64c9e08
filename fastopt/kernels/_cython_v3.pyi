from fastopt.kernels._cython_baseline import *  # noqa: F403  (the same module for another instruction set)

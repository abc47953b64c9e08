from fastopt.kernels._cython_baseline import *

"""The build for x86-64-v3 (AVX2)."""

from fastopt.kernels._cython_baseline import *

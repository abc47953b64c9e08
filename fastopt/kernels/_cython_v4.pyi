"""The build for x86-64-v4 (AVX-512)."""

from fastopt.kernels._cython_baseline import *

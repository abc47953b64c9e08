"""Benchmarks: the optimizer step against NumPy, against its peers and against the memory limit.

``fastopt bench`` runs the groups in `GROUPS` and prints tables of ratios; the suites in ``benches/``
of the source run the same questions under pytest-benchmark. What is compared runs by turns in one
process on the same arrays, and each figure is also given as a fraction of the memory limit,
measured beside it.
"""

from fastopt.bench.groups import GROUPS

__all__ = ["GROUPS"]

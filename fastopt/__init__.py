"""The optimizer step of gradient descent, in place and at memory speed, for anything that speaks NumPy."""

from fastopt import kernels, schedules
from fastopt.kernels._backend import show_config
from fastopt.kernels._threads import get_num_threads, set_num_threads
from fastopt.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "get_num_threads",
    "kernels",
    "schedules",
    "set_num_threads",
    "show_config",
]

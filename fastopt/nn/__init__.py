"""A small trainer for dense networks on plain NumPy arrays.

All parameters of a `Network` are views of one flat array and all gradients of another, so that an
optimizer's step is one sweep over contiguous memory.
"""

from fastopt.nn import data
from fastopt.nn.activations import Dropout, ReLU, Sigmoid, Tanh
from fastopt.nn.callbacks import Checkpoint, EarlyStopping, EpochPrinter, ProgressBar
from fastopt.nn.ensemble import SnapshotEnsemble
from fastopt.nn.guard import ExplosionGuard
from fastopt.nn.history import Diverged, History
from fastopt.nn.initializers import Constant, Glorot, He, LeCun, Normal, Uniform, Zeros
from fastopt.nn.landscape import LossLine, LossSurface, measure_line, measure_surface
from fastopt.nn.layers import Dense, Layer
from fastopt.nn.losses import (
    BinaryCrossEntropy,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    RegressionAccuracy,
    SoftmaxCrossEntropy,
    binary_accuracy,
    categorical_accuracy,
)
from fastopt.nn.network import Network
from fastopt.nn.training import Callback, LambdaCallback, Training, fit

__all__ = [
    "BinaryCrossEntropy",
    "Callback",
    "Checkpoint",
    "Constant",
    "Dense",
    "Diverged",
    "Dropout",
    "EarlyStopping",
    "EpochPrinter",
    "ExplosionGuard",
    "Glorot",
    "He",
    "History",
    "LambdaCallback",
    "Layer",
    "LeCun",
    "Loss",
    "LossLine",
    "LossSurface",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Network",
    "Normal",
    "ProgressBar",
    "ReLU",
    "RegressionAccuracy",
    "Sigmoid",
    "SnapshotEnsemble",
    "SoftmaxCrossEntropy",
    "Tanh",
    "Training",
    "Uniform",
    "Zeros",
    "binary_accuracy",
    "categorical_accuracy",
    "data",
    "fit",
    "measure_line",
    "measure_surface",
]

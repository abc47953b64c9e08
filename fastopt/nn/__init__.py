"""A small trainer for dense networks on plain NumPy arrays.

All parameters of a `Network` are views of one flat array and all gradients of another, so that an
optimizer's step is one sweep over contiguous memory.
"""

from . import data
from .activations import Dropout, ReLU, Sigmoid, Tanh
from .callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochPrinter,
    LambdaCallback,
    ProgressBar,
)
from .ensemble import SnapshotEnsemble
from .guard import ExplosionGuard
from .history import Diverged, History
from .initializers import Constant, Glorot, He, LeCun, Normal, Uniform, Zeros
from .layers import Dense, Layer
from .losses import (
    BinaryCrossEntropy,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    RegressionAccuracy,
    SoftmaxCrossEntropy,
    binary_accuracy,
    categorical_accuracy,
)
from .network import Network
from .training import Training, fit

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
]

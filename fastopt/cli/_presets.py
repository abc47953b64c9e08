"""Settings by name: ``fastopt train --preset nnfs-adam-0.05``.

``nnfs-...`` are those of "Neural Networks from Scratch", chapter 10: the network 2-64-3 on the spiral, 10001 epochs of
one batch, with weights drawn as in the book. ``fashion-mnist-...`` show what the rate does to SGD with momentum on
Fashion-MNIST, with pixels in [0, 1]. Each preset is a mapping of the options of ``fastopt train`` to their values.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["PRESETS"]

_BOOK: dict[str, Any] = {"source": "spiral", "hidden": (64,), "init": "nnfs", "epochs": 10001, "seed": 0}


def _preset(optimizer: str, lr: float, decay: float, **options: Any) -> Mapping[str, Any]:
    return MappingProxyType({**_BOOK, "optimizer": optimizer, "lr": lr, "decay": decay, **options})


def _momentum(momentum: float) -> Mapping[str, Any]:
    return _preset("momentum", 1.0, 1e-3, momentum=momentum, lr_in_velocity=True)


def _fashion(lr: float) -> Mapping[str, Any]:
    network = {"hidden": (512,), "dropout": 0.2, "epochs": 5, "batch_size": 32}
    options = {"source": "fashion-mnist", "scale": (0.0, 1.0), "optimizer": "momentum", "momentum": 0.9}
    return MappingProxyType({**network, **options, "lr": lr, "decay": 0.0})


#: Options by the name of the preset, in the order of the chapter.
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "nnfs-sgd-1.0": _preset("sgd", 1.0, 0.0),
        "nnfs-sgd-decay-1e-2": _preset("sgd", 1.0, 1e-2),
        "nnfs-sgd-decay-1e-3": _preset("sgd", 1.0, 1e-3),
        "nnfs-momentum-0.5": _momentum(0.5),
        "nnfs-momentum-0.9": _momentum(0.9),
        "nnfs-adagrad": _preset("adagrad", 1.0, 1e-4, eps=1e-7),
        "nnfs-rmsprop": _preset("rmsprop", 0.001, 1e-4, rho=0.9, eps=1e-7),
        "nnfs-rmsprop-0.02": _preset("rmsprop", 0.02, 1e-5, rho=0.999, eps=1e-7),
        "nnfs-adam-0.02": _preset("adam", 0.02, 1e-5, eps=1e-7),
        "nnfs-adam-0.05": _preset("adam", 0.05, 5e-7, eps=1e-7),
        "fashion-mnist-0.1": _fashion(0.1),
        "fashion-mnist-0.01": _fashion(0.01),
        "fashion-mnist-0.001": _fashion(0.001),
    }
)

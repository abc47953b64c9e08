"""How near the rate that `fastopt lr-find` recommends comes to the best of a grid.

    OPENBLAS_NUM_THREADS=1 python benches/lr_find.py [DATA ...] [--json FILE]

Each optimizer trains with 16 rates from 1e-4 to 10, with the suggestion of the range test, and with the rate that its
verification recommends: same network, batches and number of epochs, at a constant rate. The table has the validation
accuracies, means over the last tenth of the epochs (a rate that is nearly too large ends in jumps), and how many
points they lie above the best of the grid.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fastopt
from fastopt import nn
from fastopt.cli._optimizers import OPTIMIZERS
from fastopt.lr_finder import lr_find, verify
from fastopt.nn import data

GRID = np.geomspace(1e-4, 10.0, 16).tolist()


@dataclasses.dataclass
class Problem:
    """A data set, with the width of the hidden layer, the batch size and the epochs of a training."""

    dataset: data.Dataset
    hidden: int
    batch_size: int | None
    epochs: int

    def network(self) -> nn.Network:
        """Make the network, the same each time."""
        X, outputs = self.dataset.X, self.dataset.outputs
        layers = [nn.Dense(X.shape[1], self.hidden), nn.ReLU(), nn.Dense(self.hidden, outputs)]
        return nn.Network(layers, loss=nn.SoftmaxCrossEntropy(), dtype="float32", seed=0)

    def accuracy(self, optimizer: str, lr: float) -> float:
        """Train, and return the validation accuracy; 0 if the training diverges."""
        net = self.network()
        try:
            history = net.fit(
                self.dataset.X,
                self.dataset.y,
                optimizer=make(optimizer, net, lr),
                epochs=self.epochs,
                batch_size=self.batch_size,
                validation_data=(self.dataset.X_test, self.dataset.y_test),
            )
        except FloatingPointError:
            return 0.0
        return float(np.mean(history["val_accuracy"][-max(1, self.epochs // 10) :]))

    def recommended(self, optimizer: str) -> tuple[float, float]:
        """Return the suggestion of the range test, and the rate that is left after its verification."""
        net = self.network()
        run = net, make(optimizer, net, lr=1.0), self.dataset.X, self.dataset.y
        suggestion = lr_find(*run, batch_size=self.batch_size).suggestion
        assert suggestion is not None
        return suggestion, verify(*run, suggestion, batch_size=self.batch_size)[0]


def fashion_mnist() -> data.Dataset:
    """Return the first 10,000 training and the first 2,000 test pictures."""
    full = data.fashion_mnist()
    return dataclasses.replace(
        full, X=full.X[:10_000], y=full.y[:10_000], X_test=full.X_test[:2_000], y_test=full.y_test[:2_000]
    )


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "spiral": lambda: Problem(data.spiral(), 64, None, 5_000),
    "digits": lambda: Problem(data.digits(), 64, 32, 20),
    "fashion-mnist": lambda: Problem(fashion_mnist(), 128, 32, 3),
}
NAMES = ("sgd", "momentum", "adagrad", "rmsprop", "adam")


def make(name: str, net: nn.Network, lr: float) -> Any:
    """Make the optimizer that the command line has under a name."""
    choice = OPTIMIZERS[name]
    return choice.cls(net.params, lr=lr, **choice.fixed)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", default=[*PROBLEMS], help=", ".join(PROBLEMS))
    parser.add_argument("--json", type=Path, help="write the table, with the grid")
    args = parser.parse_args()
    fastopt.set_num_threads(1)
    rows = []
    print("| data | optimizer | best of the grid | suggested | | recommended | | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for source in args.data:
        problem = PROBLEMS[source]()
        for name in NAMES:
            begin = time.perf_counter()
            suggested, recommended = problem.recommended(name)
            seconds = time.perf_counter() - begin
            grid = {lr: problem.accuracy(name, lr) for lr in GRID}
            best = max(grid, key=grid.__getitem__)
            cells = [source, name, f"{grid[best]:.3f} at {best:.2g}"]
            row: dict[str, Any] = {"data": source, "optimizer": name, "grid": [*grid.items()], "seconds": seconds}
            for key, lr in (("suggested", suggested), ("recommended", recommended)):
                accuracy = problem.accuracy(name, lr)
                row[key] = {"lr": lr, "accuracy": accuracy}
                cells += [f"{accuracy:.3f} at {lr:.2g}", f"{100 * (accuracy - grid[best]):+.1f}"]
            rows.append(row)
            print("|", " | ".join([*cells, f"{seconds:.1f}"]), "|", flush=True)
    if args.json is not None:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

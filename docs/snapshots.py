"""Print the table of snapshot ensembles in ``gallery.md``: ``python docs/snapshots.py`` takes some minutes."""

import numpy as np

import fastopt
from fastopt import nn
from fastopt.schedules import CosineAnnealing, SnapshotCosine

ROWS, EPOCHS, CYCLES, BATCH, LR = 1000, 100, 5, 32, 0.05
UPDATES = EPOCHS * -(-ROWS // BATCH)
SEEDS = range(8)


def network(seed: int) -> nn.Network:
    """Return an untrained network."""
    layers = [nn.Dense(784, 256), nn.ReLU(), nn.Dense(256, 10)]
    return nn.Network(layers, loss=nn.SoftmaxCrossEntropy(), seed=seed)


def accuracies(data: nn.data.Dataset, seed: int) -> dict[str, float]:
    """Return test accuracies of one cyclic run and of one run whose rate falls once."""
    rows = np.random.default_rng(seed).choice(len(data.X), ROWS, replace=False)
    X, y, test = data.X[rows], data.y[rows], (data.X_test, data.y_test)

    def train(schedule: object, *callbacks: nn.Callback) -> nn.Network:
        net = network(seed)
        optimizer = fastopt.SGD(net.params, lr=schedule, momentum=0.9)
        net.fit(X, y, optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH, seed=seed, callbacks=callbacks)
        return net

    ensemble, alone = nn.SnapshotEnsemble(), []

    def measure(run: nn.Training) -> None:
        if len(ensemble) > len(alone):
            alone.append(run.net.evaluate(*test)["accuracy"])

    train(SnapshotCosine(LR, UPDATES, CYCLES), ensemble, nn.LambdaCallback(on_batch_end=measure))
    return {
        "ensemble": ensemble.evaluate(*test)["accuracy"],
        "best snapshot": max(alone),
        "last snapshot": alone[-1],
        "one run": train(CosineAnnealing(LR, UPDATES)).evaluate(*test)["accuracy"],
    }


def main() -> None:
    """Train with all seeds, and print."""
    data = nn.data.fashion_mnist()
    table = [accuracies(data, seed) for seed in SEEDS]
    names = list(table[0])
    print(f"| seed | {' | '.join(names)} |")
    print(f"| --- |{' ---: |' * len(names)}")
    for seed, row in zip(SEEDS, table, strict=True):
        print(f"| {seed} | {' | '.join(f'{row[name]:.4f}' for name in names)} |")
    means = {name: np.mean([row[name] for row in table]) for name in names}
    print(f"| mean | {' | '.join(f'{means[name]:.4f}' for name in names)} |")
    below = [sum(row[name] < row["ensemble"] for row in table) for name in names[1:]]
    print(f"| ensemble higher | | {' | '.join(f'{count} of {len(table)}' for count in below)} |")


if __name__ == "__main__":
    main()

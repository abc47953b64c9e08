"""Averages of the weights by name: ``ema:decay=0.99``, ``swa:start=10ep,every=1ep``."""

from typing import Any

import fastopt
from fastopt.cli import _specs
from fastopt.cli._errors import UsageError, did_you_mean
from fastopt.cli._schedules import reader

#: Classes by name, and the types of their arguments.
CLASSES: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "ema": (fastopt.EMA, {"decay": float}),
    "swa": (fastopt.SWA, {"start": int, "every": int}),
}


def parse(text: str, *, total: int, epoch: int) -> tuple[str, dict[str, Any]]:
    """Return name and arguments of ``NAME:ARG=VALUE,...`` for a training of `total` updates, `epoch` of them an epoch.

    Those that are not given suit that length: an exponential average spans a tenth of it, 1000 updates at most; a mean
    is that of the last quarter, taken after each epoch, or more often if that has less than ten.
    """
    name, texts = _specs.split(text)
    if name not in CLASSES:
        if hint := did_you_mean(name, CLASSES):
            raise UsageError(f"--average: there is no {name!r}{hint}")
        raise UsageError(f"--average: expected one of {', '.join(CLASSES)}, got {name!r}")
    kinds = CLASSES[name][1]
    try:
        texts = _specs.by_name(texts, kinds, name)
        given = {argument: reader(kinds[argument], argument, epoch)(value) for argument, value in texts.items()}
    except UsageError as error:
        raise UsageError(f"--average: {error}") from None
    if name == "ema":
        return name, {"decay": round(1.0 - 1.0 / min(max(total // 10, 1), 1000), 6), **given}
    quarter = total // 4
    every = given.get("every", max(1, min(epoch, quarter // 10)))
    start = given.get("start", max(0, total - max(quarter, every)))
    if start + every > total:
        raise UsageError(
            f"--average: start, every: expected start + every <= {total}, the updates of the training, "
            f"got {start} + {every}"
        )
    return name, {"start": start, "every": every}


def text_of(name: str, values: dict[str, Any]) -> str:
    """Write an average in the form that `parse` reads."""
    return f"{name}:{','.join(f'{argument}={value}' for argument, value in values.items())}"

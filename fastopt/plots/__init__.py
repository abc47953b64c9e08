"""Pictures of training, in one style, for screen and print.

Each function takes results and returns a matplotlib `Figure` (or an `Animation`), which `save`
writes as ``.png``, ``.svg``, ``.pdf`` (or ``.gif``, ``.mp4``). No window is opened and no global
setting of matplotlib is changed. Colours are told apart by colour-blind readers, lines and
markers also in black and white.

Importing this module needs matplotlib: ``pip install "fastopt[plots]"``.
"""

from fastopt._extras import require

require("matplotlib", extra="plots", what="fastopt.plots")

# Measured in `fastopt.nn`, for the pictures here.
from fastopt.nn.landscape import LossLine as LossLine  # noqa: E402
from fastopt.nn.landscape import LossSurface as LossSurface  # noqa: E402
from fastopt.nn.landscape import measure_line as measure_line  # noqa: E402
from fastopt.nn.landscape import measure_surface as measure_surface  # noqa: E402
from fastopt.plots._compare import compare  # noqa: E402
from fastopt.plots._descent import descent, descent_animation, descents  # noqa: E402
from fastopt.plots._events import ensemble, rescues  # noqa: E402
from fastopt.plots._film import Film, film  # noqa: E402
from fastopt.plots._images import confusion_matrix, worst_mistakes  # noqa: E402
from fastopt.plots._landscape import loss_line, loss_surface  # noqa: E402
from fastopt.plots._lr_range import lr_range  # noqa: E402
from fastopt.plots._save import Animation, save  # noqa: E402
from fastopt.plots._schedules import schedule, schedules  # noqa: E402
from fastopt.plots._training import (  # noqa: E402
    decision_regions,
    fitted_curve,
    training_curves,
    training_report,
)

__all__ = [
    "Animation",
    "Film",
    "compare",
    "confusion_matrix",
    "decision_regions",
    "descent",
    "descent_animation",
    "descents",
    "ensemble",
    "film",
    "fitted_curve",
    "loss_line",
    "loss_surface",
    "lr_range",
    "rescues",
    "save",
    "schedule",
    "schedules",
    "training_curves",
    "training_report",
    "worst_mistakes",
]

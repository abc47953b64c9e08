"""Pictures into files: the suffix decides the format."""

import base64
import io
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.animation
from matplotlib.figure import Figure

from fastopt.plots._style import styled
from fastopt.plots._text import glyphs_may_be_missing

Progress = Callable[[int, int], None]

STILL = (".png", ".svg", ".pdf")
MOVING = (".gif", ".mp4")


@dataclass(frozen=True)
class Animation:
    """A moving picture: a figure, and what draws each of its frames.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure that `draw` changes.
    draw : callable
        ``draw(i)`` turns the figure into frame i.
    frames : int
        Number of frames.
    fps : float
        Frames per second.
    """

    figure: Figure
    draw: Callable[[int], None]
    frames: int
    fps: float = 12.0

    def _repr_html_(self) -> str:
        """Return the film for a notebook."""
        with tempfile.TemporaryDirectory() as folder:
            film = save(self, Path(folder, "film.gif"), dpi=80).read_bytes()
        return f'<img src="data:image/gif;base64,{base64.b64encode(film).decode()}">'


@styled
def save(
    picture: Figure | Animation,
    path: str | os.PathLike[str],
    *,
    dpi: float = 150,
    progress: Progress | None = None,
) -> Path:
    """Save a picture in the format that the suffix of the path names.

    Parameters
    ----------
    picture : Figure or Animation
        Result of a function of `fastopt.plots`.
    path : path
        A still picture ends in ``.png``, ``.svg`` or ``.pdf``, a moving one in ``.gif`` or
        ``.mp4`` (needs ffmpeg). An existing file is replaced.
    dpi : float
        Dots per inch. Moving pictures are large: 80 to 100 serve them well.
    progress : callable, optional
        ``progress(done, frames)`` is called after each frame of a moving picture.

    Returns
    -------
    Path
        Where it was saved.

    Raises
    ------
    ValueError
        If the suffix does not fit the picture.
    FileNotFoundError
        If the folder does not exist.
    RuntimeError
        If ``.mp4`` is asked for and ffmpeg is not installed.
    OSError
        If ffmpeg fails.

    Examples
    --------
    >>> import tempfile
    >>> from matplotlib.figure import Figure
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Figure(), folder + "/empty.svg").name
    'empty.svg'
    """
    path = Path(path)
    kind, suffixes = ("still", STILL) if isinstance(picture, Figure) else ("moving", MOVING)
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise ValueError(f"{path}: a {kind} picture is saved as {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {path.parent} does not exist")
    if isinstance(picture, Figure):
        # Without the date, the same picture is the same file.
        metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix)
        # Into memory at first: what cannot be drawn leaves no half of a picture.
        drawn = io.BytesIO()
        with glyphs_may_be_missing():
            picture.savefig(drawn, format=suffix[1:], dpi=dpi, metadata=metadata)
        path.write_bytes(drawn.getvalue())
        return path
    writer: Any
    if suffix == ".gif":
        writer = matplotlib.animation.PillowWriter(fps=picture.fps)  # type: ignore[arg-type]
    elif matplotlib.animation.FFMpegWriter.isAvailable():
        writer = matplotlib.animation.FFMpegWriter(fps=picture.fps)  # type: ignore[arg-type]
    else:
        raise RuntimeError(f"{path}: .mp4 needs ffmpeg, which is not installed; .gif does not")
    # Aside at first: what is stopped half-way leaves no half of a film.
    with tempfile.TemporaryDirectory(prefix=".fastopt-", dir=path.parent) as folder:
        whole = Path(folder, path.name)
        with glyphs_may_be_missing():
            _film(picture, writer, whole, dpi, progress)
        whole.replace(path)
    return path


def _film(picture: Animation, writer: Any, path: Path, dpi: float, progress: Progress | None) -> None:
    try:
        with writer.saving(picture.figure, path, dpi):
            for i in range(picture.frames):
                picture.draw(i)
                writer.grab_frame()
                if progress is not None:
                    progress(i + 1, picture.frames)
    except subprocess.CalledProcessError as error:
        # ffmpeg ends like this also because something else, such as Ctrl-C, has stopped the drawing.
        before = error.__context__
        if before is not None and not isinstance(before, BrokenPipeError):
            raise before from None
        reasons = (error.stderr or "").strip().splitlines() or [f"exit code {error.returncode}"]
        raise OSError(f"{path.name}: ffmpeg failed: {reasons[-1]}") from error

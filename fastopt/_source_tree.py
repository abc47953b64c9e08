"""Refusal of a source tree that is imported in the place of an installed package.

Python started in a checkout finds the folder ``fastopt`` there before any installed package. It has no compiled
kernels, and to run on a fallback instead is never what was meant, unless the environment names one.
"""

import os
from collections.abc import Sequence
from importlib.machinery import PathFinder


def refuse(path: Sequence[str]) -> None:
    """Raise an error that names the folder if the package at `path` is a source tree without compiled kernels.

    Parameters
    ----------
    path : sequence of str
        ``__path__`` of the package. That of an editable installation has the folder of the compiled modules too.

    Raises
    ------
    ImportError
        The folder is a source tree, has no compiled kernels, and is not an editable installation whose compilation
        failed; and ``FASTOPT_BACKEND`` does not name a fallback.
    """
    folder = os.path.abspath(path[0])
    project = os.path.dirname(folder)
    if not (os.path.isfile(os.path.join(project, "pyproject.toml")) and os.path.isdir(os.path.join(project, "src"))):
        return
    if os.environ.get("FASTOPT_BACKEND") not in (None, "", "cython"):
        return
    if PathFinder.find_spec("fastopt.kernels._cython", [os.path.join(part, "kernels") for part in path]):
        return
    if not _is_editable(project):
        raise ImportError(
            f"fastopt was imported from {folder}, a source tree without compiled kernels: "
            "start Python in another folder, or install the source tree with pip install -e ."
        )


def _is_editable(project: str) -> bool:
    """Whether the folder is installed editably (PEP 610)."""
    # Imported here: an installed package does without, and they take as long as all the rest.
    import json
    from importlib import metadata
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        origin = json.loads(metadata.distribution("fastopt").read_text("direct_url.json") or "{}")
        editable = origin.get("dir_info", {}).get("editable", False)
        return editable and os.path.samefile(url2pathname(urlsplit(origin["url"]).path), project)
    except (metadata.PackageNotFoundError, OSError):
        return False

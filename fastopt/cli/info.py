"""``fastopt info``: which kernels run, and versions."""

import argparse
import importlib.metadata

from fastopt.cli import _options
from fastopt.cli._output import write_json

EPILOG = """\
examples:
  fastopt info
  fastopt info --backend numpy --json -
"""

_PACKAGES = ("numba", "matplotlib", "rich", "pooch", "scikit-learn")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EPILOG
    _options.add_backend(parser)
    _options.add_output(parser, None)


def run(args: argparse.Namespace) -> int:
    """Show the configuration."""
    import fastopt

    fastopt.show_config()
    versions = {name: _version(name) for name in _PACKAGES}
    for name, version in versions.items():
        print(f"{name:<16} {version or '-'}")
    write_json(args, {"command": "info", **fastopt.show_config("dicts"), "packages": versions})
    return 0


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None

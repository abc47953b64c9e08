"""Optional dependencies: import them where they are used, and say how to get them when missing."""

import importlib
from typing import Any

#: Distribution names that differ from the name of the module.
_DISTRIBUTIONS = {"sklearn": "scikit-learn"}


def require(module: str, *, extra: str, what: str) -> Any:
    """Import an optional module, or say in one sentence how to install it.

    Parameters
    ----------
    module : str
        Name of the module, dotted for a submodule: ``"matplotlib.figure"``.
    extra : str
        The extra of fastopt that installs it.
    what : str
        What needs it: the beginning of the sentence.

    Returns
    -------
    module
        The imported module; for a dotted name, the submodule.

    Raises
    ------
    ModuleNotFoundError
        If the module is not installed. A module that is installed but fails to import because of
        something else raises that error unchanged.

    Examples
    --------
    >>> require("json", extra="plots", what="this example").__name__
    'json'
    >>> require("no_such_module", extra="plots", what="fastopt.plots")
    Traceback (most recent call last):
        ...
    ModuleNotFoundError: fastopt.plots needs no_such_module: pip install "fastopt[plots]"
    """
    top = module.partition(".")[0]
    try:
        importlib.import_module(top)
    except ModuleNotFoundError as error:
        if error.name != top:
            raise
        needed = _DISTRIBUTIONS.get(top, top)
        raise ModuleNotFoundError(f'{what} needs {needed}: pip install "fastopt[{extra}]"', name=top) from None
    return importlib.import_module(module)

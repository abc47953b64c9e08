"""The backends of this environment, each under a name with its instruction set."""

from fastopt.kernels import _backend

COMPILED = {f"cython-{isa}": ("cython", {"isa": isa}) for isa in _backend.ISAS}
BACKENDS = COMPILED | {"numba": ("numba", {}), "numpy": ("numpy", {})}


def using(name):
    backend, options = BACKENDS[name]
    return _backend.using(backend, **options)


def why_not(name):
    """Reason why a backend cannot be had in this environment, or None."""
    try:
        with using(name):
            return None
    except (ImportError, ValueError) as error:
        return f"no {name} here: {error}"

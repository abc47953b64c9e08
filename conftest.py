"""What pytest goes without: modules for a library that is not installed."""

from importlib.util import find_spec

collect_ignore = [f"fastopt/compat/{library}.py" for library in ("sklearn", "torch") if not find_spec(library)]

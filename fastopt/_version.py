"""The version, read by the package, its metadata and its documentation."""

__version__ = "0.1.0"

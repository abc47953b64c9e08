"""``pytest docs`` runs the Python code of all pages, page by page, each from top to bottom."""

import os
from importlib.util import find_spec

import pytest
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

collect_ignore = ["conf.py"]

# Keras' own choice is TensorFlow, installed or not.
os.environ.setdefault("KERAS_BACKEND", next(name for name in ("torch", "jax", "numpy") if find_spec(name)))

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["*.md", "**/*.md"],
    fixtures=["folder"],
    setup=lambda namespace: namespace.update(find_spec=find_spec),
).pytest()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Run a page where it may write files."""
    before = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("page"))
    yield
    os.chdir(before)


def pytest_collection_modifyitems(items):
    """Let Keras on PyTorch warn of what NumPy will ask of it."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning"))

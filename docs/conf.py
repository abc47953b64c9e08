"""Sphinx: ``sphinx-build -W --keep-going -n docs build/docs``."""

import os
import sys

import fastopt

project = "fastopt"
copyright = "the fastopt contributors"
version = release = fastopt.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx_codeautolink",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.programoutput",
]
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["fastopt.css"]
html_theme = "furo"
html_title = f"fastopt {release}"

# Guide pages are plain Markdown, so that they read as well where they are kept as here.
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# In docstrings `name` is code, and a link wherever it names something of the package.
default_role = "autolink"
autodoc_typehints = "none"  # parameters are described in words, with shapes and units
autosummary_ignore_module_all = False
autosummary_imported_members = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Names in docstrings that are arguments, not objects, and those of NumPy.
nitpick_ignore_regex = [("py:obj", r"[a-z_]+"), ("py:obj", r"numpy\..*")]

# The page on the command line runs the command that is installed beside this interpreter.
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
os.environ["COLUMNS"] = "88"
os.environ["NO_COLOR"] = "1"

"""An installation: the modules that it imports, the kernels that run, the words where they are missing."""

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import textwrap
from importlib.resources import files
from modulefinder import ModuleFinder
from pathlib import Path

import pytest

import fastopt
from fastopt.kernels import _backend

OPTIONAL = ("joblib", "keras", "matplotlib", "numba", "pooch", "rich", "scipy", "sklearn", "torch", "tqdm")

USE = """
import numpy as np
import fastopt
param = np.ones(3)
fastopt.Adam(param, lr=0.5).step(np.ones(3))
assert abs(param - 0.5).max() < 1e-6
config = fastopt.show_config("dicts")
print(config["backend"], config["instruction_set"])
"""

compiled = pytest.mark.skipif(
    importlib.util.find_spec("fastopt.kernels._cython") is None,
    reason="this installation has no compiled kernels",
)


def run_python(*parts, **environment):
    """Run code in a fresh interpreter; give back its exit code, output and errors."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("FASTOPT_")}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(map(textwrap.dedent, parts))],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout.split(), done.stderr


def without(*modules):
    """Code that makes modules look as if they were not installed."""
    return f"""
        import sys

        class Without:
            def __init__(self, finder):
                self.finder = finder

            def find_spec(self, name, path=None, target=None):
                return None if name in {modules} else self.finder.find_spec(name, path, target)

        sys.meta_path = [Without(finder) for finder in sys.meta_path]
    """


# --------------------------------------------------------------------------------- the source tree


@pytest.fixture
def source_tree(tmp_path):
    """A checkout: the package without its compiled module, beside pyproject.toml and src."""
    compiled = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(Path(fastopt.__file__).parent, tmp_path / "fastopt", ignore=compiled)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "src").mkdir()
    return tmp_path


def run_in(folder, code, **environment):
    """Run code as Python started in a folder runs it, without the finder of an editable installation."""
    return run_python(
        "import sys",
        "sys.meta_path = [f for f in sys.meta_path if not type(f).__module__.startswith('_editable')]",
        f"sys.path.insert(0, {str(folder)!r})",
        code,
        **environment,
    )


@pytest.mark.parametrize("backend", ["", "cython"])
def test_a_source_tree_is_refused(source_tree, backend):
    code, _, err = run_in(source_tree, "import fastopt", FASTOPT_BACKEND=backend)
    assert code == 1
    message = (
        f"ImportError: fastopt was imported from {source_tree / 'fastopt'}, a source tree without compiled kernels: "
        "start Python in another folder, or install the source tree with pip install -e ."
    )
    assert err.splitlines()[-1] == message


def test_the_command_refuses_a_source_tree_in_one_line(source_tree):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("FASTOPT_")}
    command = [sys.executable, "-S", "-m", "fastopt", "info"]  # -S: no editable installation
    done = subprocess.run(command, cwd=source_tree, env=clean, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith(f"fastopt: fastopt was imported from {source_tree / 'fastopt'}, a source tree")
    assert done.stderr.count("\n") == 1


def test_a_source_tree_runs_where_the_environment_names_a_fallback(source_tree):
    code, out, err = run_in(source_tree, USE, FASTOPT_BACKEND="numpy")
    assert (code, out, err) == (0, ["numpy", "None"], "")


@pytest.mark.parametrize("missing", ["pyproject.toml", "src"])
def test_a_package_without_sources_beside_it_is_no_source_tree(source_tree, missing):
    path = source_tree / missing
    path.rmdir() if path.is_dir() else path.unlink()
    code, _, err = run_in(source_tree, USE)
    assert code == 0
    assert "RuntimeWarning: fastopt runs on its" in err


def test_an_editable_installation_without_compiled_kernels_runs(source_tree):
    info = source_tree / "fastopt-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fastopt\nVersion: 0\n")
    origin = {"url": source_tree.as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(origin))
    code, _, err = run_in(source_tree, USE)
    assert code == 0
    assert "RuntimeWarning: fastopt runs on its" in err
    (info / "direct_url.json").write_text(json.dumps(origin | {"dir_info": {}}))
    code, _, err = run_in(source_tree, USE)
    assert code == 1
    assert "a source tree without compiled kernels" in err


@compiled
def test_a_source_tree_with_compiled_kernels_runs(source_tree):
    module = Path(importlib.util.find_spec("fastopt.kernels._cython").origin)
    shutil.copy(module, source_tree / "fastopt" / "kernels")
    code, out, err = run_in(source_tree, USE)
    assert (code, out[0], err) == (0, "cython", "")


# --------------------------------------------------------------------------------- import


def imported(*code):
    """Names of the modules that `code` imports beyond NumPy's own."""
    code, out, err = run_python(
        "import sys, numpy",
        "before = set(sys.modules)",
        *code,
        "print('imported', *sys.modules.keys() - before)",
        FASTOPT_BACKEND="" if _backend.active.name == "cython" else "numpy",
    )
    assert code == 0, err
    return set(out[out.index("imported") + 1 :])


@pytest.mark.parametrize("code", ["import fastopt, fastopt.nn, fastopt.lr_finder", "import fastopt.__main__"])
def test_import_needs_numpy_alone(code):
    assert imported(code).isdisjoint(OPTIONAL)


def test_import_leaves_for_later_what_a_step_does_without():
    names = imported("import fastopt", "fastopt.Adam(numpy.ones(3)).step(numpy.ones(3))")
    assert "fastopt.optimizers" in names
    later = {f"fastopt.{name}" for name in ("bench", "cli", "descent", "lr_finder", "nn", "plots", "schedules")}
    assert names.isdisjoint(later | {"argparse", "csv", "dataclasses", "json", "numpy.random", "zipfile"})


def test_help_needs_no_command():
    names = imported("import fastopt.cli", "assert fastopt.cli.main(['--help']) == 0")
    assert names.isdisjoint({*OPTIONAL, "fastopt.bench", "fastopt.cli.train", "fastopt.nn", "fastopt.plots"})


@pytest.mark.parametrize(
    "use",
    [
        "fastopt.schedules.Constant(0.5)",
        "import fastopt.schedules; fastopt.schedules.Constant(0.5)",
        "from fastopt import schedules; schedules.Constant(0.5)",
        "from fastopt import *; schedules.Constant(0.5)",
        "assert 'schedules' in dir(fastopt); fastopt.schedules.Constant(0.5)",
        "import pickle; pickle.loads(pickle.dumps(fastopt.schedules.Constant(0.5)))",
    ],
)
def test_schedules_are_there_when_they_are_used(use):
    assert "fastopt.schedules" in imported("import fastopt", use)


@pytest.mark.parametrize("name", ["lr_finder", "nn", "schedules"])
def test_modules_are_there_when_they_are_used(name):
    assert f"fastopt.{name}" in imported("import fastopt", f"assert {name!r} in dir(fastopt); fastopt.{name}.__all__")


def test_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="module 'fastopt' has no attribute 'Adm'"):
        fastopt.Adm  # noqa: B018


def test_the_version_has_one_source():
    assert importlib.metadata.version("fastopt") == fastopt.__version__


def test_types_are_announced():
    assert files("fastopt").joinpath("py.typed").is_file()


def test_numpy_is_the_only_requirement():
    needed = [line for line in importlib.metadata.requires("fastopt") or [] if "extra ==" not in line]
    assert [line.partition(">=")[0] for line in needed] == ["numpy"]


# --------------------------------------------------------------------------------- which kernels run


@compiled
@pytest.mark.parametrize("isa", _backend.ISAS)
def test_instruction_set_is_honoured_or_refused(isa):
    best = _backend.load("cython").isa
    code, out, err = run_python(USE, FASTOPT_ISA=isa)
    if _backend.ISAS.index(isa) >= _backend.ISAS.index(best):
        assert (code, out) == (0, ["cython", isa]), err
    else:
        assert code == 1
        assert f"ImportError: the {isa} kernels cannot run" in err


@compiled
@pytest.mark.parametrize("supported", _backend.ISAS)
def test_processor_decides_on_the_instruction_set(monkeypatch, supported):
    """As if on a processor, or under an operating system, that supports no more than this."""
    from fastopt.kernels import _cython

    if _backend.ISAS.index(supported) < _backend.ISAS.index(_cython.best_isa()):
        pytest.skip(f"this processor does not support {supported}")
    monkeypatch.setattr(_cython, "best_isa", lambda: supported)
    assert _backend.ISAS.index(_backend.load("cython").isa) >= _backend.ISAS.index(supported)
    for isa in _backend.ISAS[: _backend.ISAS.index(supported)]:
        with pytest.raises(ImportError, match=f"the {isa} kernels cannot run.*supports {supported} at best"):
            _backend.load("cython", isa)


@pytest.mark.parametrize("variable", ["FASTOPT_BACKEND", "FASTOPT_ISA"])
def test_unknown_choice_is_refused(variable):
    code, _, err = run_python(USE, **{variable: "avx9"})
    assert code == 1
    assert f"ValueError: {variable}: expected one of" in err
    assert "got 'avx9'" in err


def test_instruction_set_of_a_backend_that_has_none_is_refused():
    code, _, err = run_python(USE, FASTOPT_BACKEND="numpy", FASTOPT_ISA="baseline")
    assert code == 1
    assert "ValueError: FASTOPT_ISA" in err


@pytest.mark.parametrize("empty", ["FASTOPT_BACKEND", "FASTOPT_ISA", "FASTOPT_NUM_THREADS"])
def test_empty_variable_is_none(empty):
    given = {"FASTOPT_BACKEND": _backend.active.name} if _backend.active.name != "cython" else {}
    code, _, err = run_python(USE, **given | {empty: given.get(empty, "")})
    assert code == 0, err


# --------------------------------------------------------------------------------- kernels that are missing


def test_missing_kernels_are_mentioned_once():
    code, out, err = run_python(
        without("fastopt.kernels._cython", "numba"), USE, "import importlib; importlib.reload(fastopt)"
    )
    assert (code, out) == (0, ["numpy", "None"]), err
    assert err.count("RuntimeWarning") == 1
    assert "install a C compiler" in err
    assert "fastopt[numba]" in err
    assert "FASTOPT_BACKEND=numpy silences this warning" in err


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_naming_a_fallback_silences_the_warning(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"no {backend} here")
    code, out, err = run_python(without("fastopt.kernels._cython"), USE, FASTOPT_BACKEND=backend)
    assert (code, out, err) == (0, [backend, "None"], "")


@pytest.mark.parametrize(
    ("backend", "missing", "advice"),
    [
        ("cython", ("fastopt.kernels._cython",), "install a C compiler"),
        ("numba", ("numba",), 'pip install "fastopt[numba]"'),
    ],
)
def test_backend_that_cannot_be_had_is_refused(backend, missing, advice):
    code, _, err = run_python(without(*missing), USE, FASTOPT_BACKEND=backend)
    assert code == 1
    assert "ImportError" in err.splitlines()[-1]
    assert advice in err.splitlines()[-1]


def test_kernels_that_do_not_load_are_said_to_be_so():
    broken = """
        import importlib.util
        import sys

        class Broken:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name == "fastopt.kernels._cython":
                    raise ImportError("wrong ELF class")

        sys.meta_path.insert(0, Broken)
    """
    code, _, err = run_python(broken, USE, FASTOPT_BACKEND="cython")
    assert (code, err.splitlines()[-1]) == (
        1,
        "ImportError: the compiled kernels cannot be loaded (wrong ELF class)",
    )
    code, out, err = run_python(broken, without("numba"), USE)
    assert (code, out) == (0, ["numpy", "None"]), err
    assert "RuntimeWarning" in err
    assert "wrong ELF class" in err


def test_tools_that_freeze_programs_find_the_modules(tmp_path):
    """They read imports from the bytecode, as the standard library's finder does, which calls bad what is not there."""
    package = Path(fastopt.__file__).parent
    (tmp_path / "fastopt").symlink_to(package)  # alone, not with all that is installed beside it
    finder = ModuleFinder([str(tmp_path)])
    finder.import_hook("fastopt.__main__")
    names = finder.modules.keys() | finder.badmodules.keys()
    backends = {f"fastopt.kernels._{name}" for name in _backend.BACKENDS}
    commands = {f"fastopt.cli.{path.stem}" for path in package.glob("cli/[a-z]*.py")}
    assert "fastopt.cli.info" in commands
    packages = {f"fastopt.{path.name}" for path in package.iterdir() if (path / "__init__.py").exists()}
    assert {"fastopt.nn", "fastopt.plots", "fastopt.schedules"} <= packages  # a wheel is without fastopt.bench
    packages.discard("fastopt.compat")  # which is for programs alone that have the other library
    assert {*backends, *commands, *packages} <= names


def test_zip_archive_runs_a_fallback_and_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the sources may be where this runs, and Python looks there first
    archive = shutil.make_archive(str(tmp_path / "app"), "zip", Path(fastopt.__file__).parents[1], "fastopt")
    # What finds an editable installation is an object; Python's own finders are classes.
    found = "import sys", "sys.meta_path = [f for f in sys.meta_path if isinstance(f, type)]", without("numba"), USE
    code, out, err = run_python(*found, PYTHONPATH=archive)
    assert (code, out) == (0, ["numpy", "None"]), err
    assert err.count("RuntimeWarning") == 1
    assert "the compiled kernels cannot be loaded from a zip archive" in err
    code, out, err = run_python(*found, PYTHONPATH=archive, FASTOPT_BACKEND="numpy")
    assert (code, out, err) == (0, ["numpy", "None"], "")


@compiled
def test_build_without_an_instruction_set_runs_the_next_one(monkeypatch):
    """As if built by a compiler that knows the baseline alone."""
    from fastopt.kernels import _cython

    def kernels(isa, temporary):
        if isa != "baseline":
            raise ImportError(f"the {isa} kernels cannot run: this build has none")
        return original(isa, temporary)

    original = _cython.Kernels
    monkeypatch.setattr(_cython, "Kernels", kernels)
    monkeypatch.setattr(_cython, "best_isa", lambda: "v4")
    assert _backend.load("cython").isa == "baseline"
    with pytest.raises(ImportError, match="the v3 kernels cannot run: this build has none"):
        _backend.load("cython", "v3")

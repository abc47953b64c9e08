"""One command for each thing to do: `nox -l` lists them, `nox -s NAME` does one."""

import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True

PROJECT = nox.project.load_toml("pyproject.toml")


def group(session: nox.Session, name: str) -> None:
    """Install a dependency group."""
    session.install(*nox.project.dependency_groups(PROJECT, name))


@nox.session
def build(session: nox.Session) -> None:
    """Compile the kernels into an editable installation, in .nox/build."""
    session.install("-e", ".[test]", env={"FASTOPT_BUILD": "required"})
    session.run("fastopt", "info")


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests on the compiled kernels: `nox -s tests -- -k adam`."""
    session.install("-e", ".[test]", env={"FASTOPT_BUILD": "required"})
    session.run("pytest", *session.posargs)


@nox.session
@nox.parametrize("backend", ["numba", "numpy"])
def fallbacks(session: nox.Session, backend: str) -> None:
    """Run all tests on a backend that is not compiled."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs, env={"FASTOPT_BACKEND": backend})


@nox.session
def peers(session: nox.Session) -> None:
    """Run all tests with PyTorch and Keras installed, which some compare with: large downloads."""
    session.install("-e", ".[peers]", env={"FASTOPT_BUILD": "required"})
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style: the hooks of .pre-commit-config.yaml on every file."""
    session.install("pre-commit>=4")
    session.run("pre-commit", "run", "--all-files", "--show-diff-on-failure", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """Check types and who imports whom: the package and a program that uses it, the compiled module (stubtest)."""
    # Not editable: what is checked is what a user gets.
    session.install(".[lint,test]", env={"FASTOPT_BUILD": "required"})
    session.run("lint-imports")
    session.run("mypy")
    session.run("pyright")
    use, verify = Path("tests", "typed_use.py").resolve(), Path("tools", "verify_types.py").resolve()
    session.chdir(session.create_tmp())  # from here the installed package is seen, not the sources
    session.run("mypy", "--strict", use)
    session.run("python", verify)
    session.run("stubtest", "fastopt.kernels._cython")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into build/docs; warnings are errors."""
    session.install(".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-n", "docs", "build/docs", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks: `nox -s bench -- -k adam`."""
    session.install("-e", ".[bench]", env={"FASTOPT_BUILD": "required"})
    session.run("pytest", "benches", *session.posargs)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build source distribution and wheels, and test them on every Python: `nox -s wheels -- --quick`."""
    group(session, "wheels")
    session.run("python", "tools/build_wheels.py", *session.posargs)


@nox.session
def frozen(session: nox.Session) -> None:
    """Freeze the command with PyInstaller, and run it."""
    session.install(".[train]", "pyinstaller>=6", env={"FASTOPT_BUILD": "required"})
    main = Path("fastopt", "__main__.py").resolve()
    session.chdir(session.create_tmp())
    session.run("pyinstaller", "--noconfirm", "--log-level", "WARN", "--name", "fastopt", main)
    command = str(Path("dist", "fastopt", "fastopt").resolve())
    for words in (["info"], ["train", "spiral", "--epochs", "5"], ["bench", "--help"]):
        session.run(command, *words, external=True)


@nox.session
def sanitize(session: nox.Session) -> None:
    """Run the kernel tests under AddressSanitizer and UndefinedBehaviorSanitizer (GCC, Linux)."""
    group(session, "kernel-tests")
    define = "cmake.define.FASTOPT_SANITIZE=address,undefined"
    session.install(".", "-C", define, "-C", "install.strip=false", env={"FASTOPT_BUILD": "required"})
    runtimes = [
        subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    # Python itself is not instrumented: its allocator would hide overruns, and what it keeps until exit is no leak.
    environment = {
        "ASAN_OPTIONS": "detect_leaks=0",
        "LD_PRELOAD": " ".join(runtimes),
        "PYTHONMALLOC": "malloc",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    }
    tests = [Path("tests", f"test_{name}.py").resolve() for name in ("kernels", "errors", "threads")]
    config = ("-c", "/dev/null", "--rootdir", session.create_tmp(), "-p", "no:cacheprovider")
    session.run("pytest", "-q", *config, *map(str, tests), env=environment)

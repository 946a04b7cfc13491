"""The wheel and the sdist: their contents, their installation, and the first example of the quickstart.

`make dist` builds them, installs the wheel with its dependencies into empty environments, and runs the sdist's own
tests. `make test` borrows the libraries of the tests' environment instead, and runs a part of the tests.
"""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WHOLE = os.environ.get("LASTGOOD_DIST")  # the directory of the built files; if it is set, everything is tried
OURS = ("KERAS", "LASTGOOD", "MAKE", "PYTEST", "PYTHON", "TF_")  # prefixes of the environment variables of the tests
PATIENCE = 3000  # seconds: for whole environments, and the tests in them
# What is installed with the wheel for each backend; torch's build without CUDA is gigabytes smaller.
EXTRAS = {"jax": ["[jax]"], "torch": ["[torch]", "torch==2.13.0"], "tensorflow": ["[tensorflow]"]}
TRIED = EXTRAS if WHOLE else ["jax"]
QUICK = ["tests/policies", "tests/test_package.py"]


def run(*command, cwd=None, **environment):
    """Run a command without the settings of this environment; return what it printed."""
    command = [str(each) for each in command]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    done = subprocess.run(
        command, cwd=cwd, env=kept | environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist."""
    pytest.importorskip("build", reason="build is not installed: see pyproject.toml")
    where = Path(WHOLE).absolute() if WHOLE else tmp_path_factory.mktemp("dist")
    if not WHOLE:
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", where, ROOT)
    (wheel,), (sdist,) = where.glob("*.whl"), where.glob("*.tar.gz")
    return wheel, sdist


def _tracked(*under):
    if not (ROOT / ".git").exists():
        pytest.skip("these sources are not a clone, so the tracked files are not known")
    return set(run("git", "-C", ROOT, "ls-files", *under).split("\n")) - {""}


def test_the_wheel_and_the_sdist_pass_twine_check(built):
    pytest.importorskip("twine", reason="twine is not installed: see pyproject.toml")
    assert run(sys.executable, "-m", "twine", "check", "--strict", *built).count("PASSED") == 2


def test_the_wheel_holds_the_package_and_nothing_else(built):
    with zipfile.ZipFile(built[0]) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        described = Parser().parsestr(archive.read(metadata).decode())
        entries = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode()
    folder = metadata.rpartition("/")[0]
    assert {f"src/{name}" for name in names if not name.startswith(folder)} == _tracked("src")
    assert "lastgood/py.typed" in names
    assert f"{folder}/licenses/LICENSE" in names
    assert "lastgood = lastgood._cli.app:main" in entries
    assert described["Name"] == "lastgood"
    assert described.get_all("Project-URL")
    needed = {re.match(r"[\w-]+", each)[0] for each in described.get_all("Requires-Dist") if "extra ==" not in each}
    assert needed == {"keras", "h5py", "isal", "numpy", "rich", "typer"}


def test_the_sdist_contains_every_tracked_file(built):
    with tarfile.open(built[1]) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert names - {"PKG-INFO"} == _tracked()


def _install(python, *packages):
    """Install packages into the environment of a Python, which does not need pip."""
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *packages)


def _environment(where):
    """Make an empty environment; return its Python."""
    run(sys.executable, "-m", "venv", "--without-pip", where)
    return str(where / "bin" / "python")


@pytest.fixture(scope="module")
def borrowing(built, tmp_path_factory):
    """The Python of an environment that has the wheel, and the libraries of the tests' environment."""
    python = _environment(tmp_path_factory.mktemp("borrowing"))
    _install(python, "--no-deps", built[0])
    # A line of a .pth file puts a directory on the path, without its .pth files, such as the one of this project.
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture
def python(request, built, tmp_path, backend):
    """The Python of an environment with the wheel and its dependencies for a backend."""
    if not WHOLE:
        return request.getfixturevalue("borrowing")
    extra, *pinned = EXTRAS[backend]
    python = _environment(tmp_path / "environment")
    _install(python, f"{built[0]}{extra}", *pinned)
    return python


@pytest.mark.long
@pytest.mark.parametrize("backend", TRIED)
def test_the_first_example_of_the_quickstart_runs_with_the_installed_wheel(python, tmp_path, backend):
    imported = run(python, "-c", "import lastgood; print(lastgood.__file__)", cwd=tmp_path).strip()
    assert Path(imported).is_relative_to(Path(python).parents[1])
    quickstart = (ROOT / "docs/en/start/quickstart.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", quickstart, re.S)[1]
    settings = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    assert 0 <= float(run(python, "-W", "ignore", "-c", example, cwd=tmp_path, **settings)) <= 1
    saved = {path.name for path in (tmp_path / "runs").glob("*.keras")}
    assert saved
    listed = run(Path(python).with_name("lastgood"), "ls", "runs", cwd=tmp_path)
    assert all(name in listed for name in saved)


@pytest.mark.long
def test_the_sdist_passes_its_own_tests(built, tmp_path):
    with tarfile.open(built[1]) as archive:
        archive.extractall(tmp_path, filter="data")
    (sources,) = tmp_path.iterdir()
    if WHOLE:
        run("make", "test-quick", cwd=sources)
    else:
        tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *QUICK]
        assert " passed" in run(*tests, cwd=sources, PYTHONPATH=str(sources / "src"))

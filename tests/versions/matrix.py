"""The set of tests on each Python of this machine with each version of Keras, on jax; TensorFlow and torch are absent.

matrix.py [--only TEXT]

Two more cells have the lowest version of each dependency that pyproject.toml allows: on jax, and on tf_keras.
Environments are made in `.venv-versions`, one per Python, in which each Keras is installed in turn. The results are
written to `results.json` and printed as tables.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from versions import table

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")  # installs in seconds what takes pip a minute
ENVIRONMENTS = ROOT / ".venv-versions"
PYTHONS = ("3.11", "3.12", "3.13")
KERAS = ("3.12", "3.13", "3.14", "3.15", "nightly")
NEWEST = ["jax", "h5py", "numpy", "isal", "rich", "typer"]
EXTRAS = ["safetensors", "matplotlib", "jinja2", "orbax-checkpoint"]
TESTING = ["pytest", "pytest-xdist", "hypothesis"]
SHOWN = ("keras", "jax", "tensorflow-cpu", "tf_keras", "numpy", "h5py", "orbax-checkpoint")
ON_JAX = {"KERAS_BACKEND": "jax"}
ON_TF_KERAS = {"KERAS_BACKEND": "tensorflow", "TF_USE_LEGACY_KERAS": "1"}
# These take a few minutes: what the callback does, what is in the files, and whether a restart is exact.
TESTS = [
    "callback/test_contract_on_keras.py",
    "callback/test_schedules_on_keras.py",
    "formats/test_formats_on_keras.py",
    "loop",
    "restoring/test_restore_on_keras.py",
    "restoring/test_automatic_names_on_keras.py",
    "resuming/test_resume_on_keras.py",
    "resuming/test_signals_on_keras.py",
    "resuming/test_ends_of_data_on_keras.py",
    "saving/test_saves_on_keras.py",
    "versions/test_private_names.py",
]
TESTS_OF_TF_KERAS = ["on_tf_keras", "callback/test_contract_on_keras.py", "resuming/test_resume_on_keras.py"]


@dataclass
class Cell:
    """An environment, and the tests that are run in it."""

    name: str
    python: str
    packages: list[str]
    setting: dict[str, str]
    tests: list[str]


def lowest(*extras):
    """Return the lowest version of each dependency that pyproject.toml allows, including those of extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = sum((project["optional-dependencies"][extra] for extra in extras), project["dependencies"])
    found = [re.fullmatch(r"([\w-]+)>=([\d.]+)", each) for each in listed]
    return [f"{each[1]}=={each[2]}" for each in found]


def cells():
    """Yield all cells."""
    for python in PYTHONS:
        for keras in KERAS:
            chosen = ["--prerelease=allow", "keras-nightly"] if keras == "nightly" else [f"keras=={keras}.*"]
            yield Cell(f"Python {python}, Keras {keras}", python, chosen, ON_JAX, TESTS)
    bounds = lowest("jax", "cloud", "orbax", "report", "safetensors", "mlflow")
    yield Cell(f"Python {PYTHONS[0]}, lowest on jax", PYTHONS[0], bounds, ON_JAX, TESTS)
    bounds = [*lowest("tf-keras"), "tensorflow-cpu"]
    yield Cell(f"Python {PYTHONS[0]}, lowest on tf_keras", PYTHONS[0], bounds, ON_TF_KERAS, TESTS_OF_TF_KERAS)


def interpreter(version):
    """Return the path of a Python; None if this machine does not have that version."""
    managed = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions").glob(f"{version}.*/bin"))
    found = [*(str(each / f"python{version}") for each in managed), shutil.which(f"python{version}")]
    return next((each for each in found if each and Path(each).exists()), None)


def install(python, *packages):
    """Install packages."""
    subprocess.run([UV, "pip", "install", "--quiet", "--python", python, *packages], check=True)


def prepare(cell, interpreter, environments=ENVIRONMENTS):
    """Install what a cell asks for, and the project, into an environment; return its Python."""
    own = "lowest" in cell.name
    python = environments / (re.sub(r"\W+", "-", cell.name) if own else cell.python) / "bin" / "python"
    if not python.exists():
        subprocess.run([UV, "venv", "--quiet", "--python", interpreter, python.parents[1]], check=True)
    if own:
        install(python, *cell.packages, *TESTING)
    else:
        subprocess.run([UV, "pip", "uninstall", "--quiet", "--python", python, "keras", "keras-nightly"], check=True)
        install(python, "--upgrade", *NEWEST, *EXTRAS, *TESTING)
        install(python, "--upgrade", *cell.packages)
    install(python, "--no-deps", "--editable", ROOT)
    return python


def versions(python, cell):
    """Return the versions in an environment."""
    script = (
        "import json, platform\nfrom importlib.metadata import PackageNotFoundError, version\n"
        "found = {'python': platform.python_version()}\n"
        f"for name in {SHOWN}:\n"
        "    try:\n        found[name] = version(name)\n"
        "    except PackageNotFoundError:\n        pass\n"
        "import keras\nfound['keras'] = keras.__version__\nprint(json.dumps(found))"
    )
    environment = {**os.environ, **cell.setting, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([python, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_tests(python, cell):
    """Run the tests; return how many passed, failed and were skipped, and the names of those that failed."""
    environment = {**os.environ, **cell.setting, "TF_CPP_MIN_LOG_LEVEL": "3", "LASTGOOD_MATRIX": "whole"}
    tests = (ROOT / "tests" / each for each in cell.tests)
    command = [python, "-m", "pytest", "-q", "-n", "2", "--dist", "loadscope", "-p", "no:cacheprovider", *tests]
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    last = (done.stdout.splitlines() or [""])[-1]
    counts = {what: int((re.search(rf"(\d+) {what}", last) or [0, 0])[1]) for what in ("passed", "failed", "skipped")}
    errors = len(re.findall(r"^ERROR ", done.stdout, re.MULTILINE))
    wrong = re.findall(r"^(?:FAILED|ERROR) tests/(\S+)", done.stdout, re.MULTILINE)
    if done.returncode and not wrong:
        wrong = [done.stdout[-2000:] + done.stderr[-2000:]]
    return {**counts, "failed": counts["failed"] + errors, "wrong": wrong, "seconds": round(time.monotonic() - began)}


def record(results, name, cell):
    """Write the result of a cell to the file, and print it."""
    results[name] = cell
    table.RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    told = f"{name}: {cell['passed']} passed, {cell['failed']} failed, {cell['seconds']} s"
    print(told, *cell["wrong"], sep="\n  ", flush=True)


def main():
    """Run all cells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only cells whose name contains this")
    arguments = parser.parse_args()
    results = json.loads(table.RESULTS.read_text()) if table.RESULTS.exists() else {}
    for cell in cells():
        if arguments.only not in cell.name:
            continue
        found = interpreter(cell.python)
        if found is None:
            print(f"{cell.name}: this machine has no Python {cell.python}", flush=True)
            continue
        python = prepare(cell, found)
        record(results, cell.name, {"versions": versions(python, cell), **run_tests(python, cell)})
    print(*table.table(), sep="\n")
    sys.exit(any(cell["failed"] for cell in results.values()))


if __name__ == "__main__":
    main()

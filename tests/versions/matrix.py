"""The set of tests on each Python of this machine with each version of Keras, on jax; TensorFlow and torch are absent.

matrix.py [--only TEXT]

One environment a Python is made in `.venv-versions`; Keras takes turns in it. What came of it is written to
`results.json`.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENTS = ROOT / ".venv-versions"
RESULTS = HERE / "results.json"
PYTHONS = ("3.11", "3.12", "3.13")
KERAS = ("3.12", "3.13", "3.14", "3.15", "nightly")
NEWEST = ["jax", "h5py", "numpy", "isal", "rich", "typer"]
TESTING = ["pytest", "pytest-xdist", "hypothesis", "safetensors", "matplotlib", "jinja2", "orbax-checkpoint"]
NAMES = ("keras", "jax", "numpy", "h5py", "orbax-checkpoint")
# A few minutes: what the callback does, what is in the files, and whether a restart is exact.
TESTS = [
    "callback/test_contract_on_keras.py",
    "callback/test_schedules_on_keras.py",
    "formats/test_formats_on_keras.py",
    "loop",
    "restoring",
    "resuming/test_resume_on_keras.py",
    "resuming/test_signals_on_keras.py",
    "resuming/test_ends_of_data_on_keras.py",
    "saving",
    "versions",
]


def lowest():
    """Return the lowest version of each dependency that pyproject.toml takes, as pip wants it."""
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.search(r"^dependencies = (\[.*?\])", text, re.MULTILINE | re.DOTALL)[1]
    return [f"{name}~={version}.0" for name, version in re.findall(r'"([\w-]+)>=([\d.]+)"', listed)]


def interpreter(version):
    """Return the path of a Python; None if this machine has none of that version."""
    managed = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions").glob(f"{version}.*/bin"))
    found = [shutil.which(f"python{version}"), *(str(each / f"python{version}") for each in managed)]
    return next((each for each in found if each and Path(each).exists()), None)


def python_of(name, interpreter):
    """Return the Python of an environment, which is made if need be."""
    python = ENVIRONMENTS / name / "bin" / "python"
    if not python.exists():
        subprocess.run([interpreter, "-m", "venv", python.parents[1]], check=True)
    return python


def install(python, *packages):
    """Install packages."""
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    subprocess.run(command, check=True)


def prepare(python, keras):
    """Have an environment hold a version of Keras, the newest of all else, and the project."""
    subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", "keras", "keras-nightly"], check=True)
    install(python, "--upgrade", *NEWEST, *TESTING)
    install(python, "--no-deps", "--editable", ROOT)
    if keras == "nightly":
        install(python, "--pre", "--upgrade", "keras-nightly")
    else:
        install(python, f"keras=={keras}.*")


def versions(python):
    """Return the versions that an environment has."""
    script = (
        "import json, platform; from importlib.metadata import version; import keras; names = {!r}\n"
        "found = {{'python': platform.python_version(), 'keras': keras.__version__}}\n"
        "print(json.dumps(found | {{name: version(name) for name in names}}))"
    ).format([name for name in NAMES if name != "keras"])
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run([python, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test(python):
    """Run the tests; return how many passed, failed and were skipped, and the names of those that failed."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3", "LASTGOOD_VERSIONS": "whole"}
    command = [
        python,
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "-p",
        "no:cacheprovider",
        *(ROOT / "tests" / each for each in TESTS),
    ]
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    counts = {
        what: int((re.search(rf"(\d+) {what}", done.stdout.splitlines()[-1]) or [0, 0])[1])
        for what in ("passed", "failed", "skipped")
    }
    errors = len(re.findall(r"^ERROR ", done.stdout, re.MULTILINE))
    wrong = re.findall(r"^(?:FAILED|ERROR) tests/(\S+)", done.stdout, re.MULTILINE)
    if done.returncode and not wrong:
        wrong = [done.stdout[-2000:] + done.stderr[-2000:]]
    return {**counts, "failed": counts["failed"] + errors, "wrong": wrong, "seconds": round(time.monotonic() - began)}


def main():
    """Run all cells, print what came of each, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cells whose name has this in it")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for version in PYTHONS:
        found = interpreter(version)
        for keras in KERAS:
            name = f"Python {version}, Keras {keras}"
            if arguments.only not in name:
                continue
            if found is None:
                print(f"{name}: this machine has no Python {version}", flush=True)
                continue
            python = python_of(version, found)
            prepare(python, keras)
            record(results, name, python)
    name = f"Python {PYTHONS[0]}, lowest"
    if arguments.only in name:
        python = python_of("lowest", interpreter(PYTHONS[0]))
        install(python, *lowest(), *TESTING, "jax")
        install(python, "--no-deps", "--editable", ROOT)
        record(results, name, python)
    sys.exit(any(cell["failed"] for cell in results.values()))


def record(results, name, python):
    """Test an environment, and write down what came of it."""
    results[name] = {"versions": versions(python), **test(python)}
    cell = results[name]
    print(
        f"{name}: {cell['passed']} passed, {cell['failed']} failed, {cell['seconds']} s",
        *cell["wrong"],
        sep="\n  ",
        flush=True,
    )
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""The package's shape: its public names, and imports that only point down."""

import ast
import subprocess
import sys
from pathlib import Path

import lastgood

SOURCE = Path(lastgood.__file__).parent

# Lower layers first. A module imports from its own layer or those before it.
LAYERS = [
    ("_errors", "_threads", "_switch", "_strict_json"),
    ("_record",),
    ("_policies",),
    ("_storage",),
    ("_frameworks", "_snapshot", "_writer"),
    ("_fit", "_keras", "_tf_keras"),
    ("_keras_fit", "_tf_keras_fit"),
    ("_layout",),
    ("_formats",),
    ("_run", "_report", "_preflight", "_arguments", "_weights"),
    ("_training",),
    ("_restore",),
    ("_checkpointer",),
    ("_progress", "_neighbours"),
    ("_callback", "_custom_loop"),
    ("_model_checkpoint", "tf_keras"),
    ("__init__", "_verify_resume", "testing"),
    ("_cli",),
    ("__main__",),
]
FRAMEWORK_FREE = ("_errors", "_strict_json", "_record", "_policies", "_storage", "_run", "_preflight", "testing")


def test_public_names():
    assert lastgood.__all__ == [
        "ArgumentError",
        "ArgumentTypeError",
        "Budget",
        "Checkpoint",
        "Checkpointer",
        "CorruptCheckpointError",
        "LastgoodError",
        "MissingExtraError",
        "ModelCheckpoint",
        "MonitorError",
        "NotExactError",
        "PlaceholderError",
        "Problem",
        "Progress",
        "RestoreError",
        "Run",
        "RunInUseError",
        "SaveError",
        "TargetIsDirectoryError",
        "__version__",
        "load_weights",
        "open_run",
        "restore",
        "verify_resume",
    ]
    assert all(
        error.__module__ == "lastgood._errors" for name, error in vars(lastgood).items() if name.endswith("Error")
    )


def test_errors_are_caught_by_the_builtins_that_the_contract_names():
    builtins = {
        "ArgumentError": ValueError,
        "ArgumentTypeError": TypeError,
        "CorruptCheckpointError": ValueError,
        "MissingExtraError": ImportError,
        "MonitorError": ValueError,
        "NotExactError": AssertionError,
        "PlaceholderError": KeyError,
        "RestoreError": ValueError,
        "SaveError": OSError,
        "TargetIsDirectoryError": IsADirectoryError,
    }
    for name, builtin in builtins.items():
        assert issubclass(getattr(lastgood, name), (lastgood.LastgoodError,))
        assert issubclass(getattr(lastgood, name), builtin)


def _imports():
    """Yield (file, our top module that imports, the one that is imported); foreign ones have a slash: `keras/`."""
    for path in SOURCE.rglob("*.py"):
        relative = path.relative_to(SOURCE)
        own = relative.parts[0].removesuffix(".py")
        package = ["lastgood", *relative.parts[:-1]]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((relative, own, alias.name.split(".")[0] + "/") for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield relative, own, (node.module or "").split(".")[0] + "/"
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1]
                full = base + (node.module.split(".") if node.module else [])
                names = [full[1]] if len(full) > 1 else [alias.name for alias in node.names]
                yield from ((relative, own, name) for name in names)


def test_imports_only_point_down():
    level = {name: i for i, names in enumerate(LAYERS) for name in names}
    seen = {own for _, own, _ in _imports()}
    assert seen <= set(level), f"not in LAYERS: {seen - set(level)}"
    wrong = [(str(f), target) for f, own, target in _imports() if target in level and level[target] > level[own]]
    assert not wrong


def test_decisions_records_and_storage_import_no_framework():
    frameworks = {"keras/", "tensorflow/", "jax/", "torch/", "orbax/", "tf_keras/"}
    wrong = [(str(f), target) for f, own, target in _imports() if own in FRAMEWORK_FREE and target in frameworks]
    assert not wrong


def test_private_names_are_in_modules_of_their_own():
    users = {p.name for p in SOURCE.rglob("*.py") if "keras.src" in p.read_text()}
    assert users <= {"_keras.py", "_keras_fit.py", "_tf_keras.py", "_tf_keras_fit.py"}
    users = {p.name for p in SOURCE.rglob("*.py") if "tensorflow.python" in p.read_text()}
    assert users == {"_tf_keras.py", "randomness.py", "exactness.py"}


def test_importing_the_package_imports_no_framework():
    code = "import lastgood, sys; print(sorted({'keras', 'tensorflow', 'jax', 'torch', 'h5py'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error():
    code = "import lastgood; lastgood.ModelCheckpiont"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "module 'lastgood' has no attribute 'ModelCheckpiont'" in done.stderr

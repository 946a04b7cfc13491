"""The shape of the package: its public names, one import order, and classes of limited length."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from itertools import takewhile
from pathlib import Path

import pytest

import lastgood

SOURCE = Path(lastgood.__file__).parent
ROOT = SOURCE.parent.parent
LONGEST_CLASS = 250

# The rooms, and the modules outside of rooms, lowest first. A module imports from its own room and from those
# on the lines before. The page `docs/en/contributing/rooms.md` has the same list.
ORDER = [
    ("_errors", "the exceptions"),
    ("_threads", "threads"),
    ("_json", "read untrusted JSON, within limits"),
    ("_group", "processes that train one model together: their ranks and messages"),
    ("_record", "the record in a checkpoint"),
    ("_moment", "the point in training at which a hook is called"),
    ("_policies", "when to save, what is best, what to keep, how to name it: no side effects"),
    ("_storage", "stage, commit, read, list, claim: one module for each storage"),
    ("_snapshot", "copies between device and host: one module for each backend"),
    ("_bytes", "layouts, digests and records as bytes: no Keras"),
    ("_keras", "one interface to the model and the running fit of each Keras"),
    ("_formats", "one module for each file format, and their table"),
    ("_loading", "load a whole model from a checkpoint"),
    ("_checkpoint", "one checkpoint of a run, as you see it"),
    ("_state", "what a checkpoint holds besides weights"),
    ("_report", "the report of a run: one HTML page"),
    ("_run", "a directory of checkpoints: list, journal, prune"),
    ("_inspect", "the arrays of a checkpoint without Keras: statistics, differences, exports"),
    ("_saving", "one save: snapshot, write, commit"),
    ("_restoring", "find the newest intact checkpoint, and restore a model from it"),
    ("_resuming", "a running fit: its state in a save, how it continues, how a signal ends it"),
    ("_engine", "what the callback and loops share: check, claim, save, report"),
    ("_callback", "the callback: what each hook of fit does"),
    ("_loop", "custom training loops, and verify_resume"),
    ("_cli", "the command"),
    ("testing", "faults, a storage in memory, and tests that every storage must pass"),
    ("tf_keras", "the callback for tf_keras 2"),
    ("__init__", "the public names"),
    ("__main__", "python -m lastgood"),
]
FRAMEWORKS = {"keras", "tensorflow", "jax", "torch", "orbax", "tf_keras"}
FRAMEWORK_FREE = [
    "_errors",
    "_threads",
    "_json",
    "_record",
    "_moment",
    "_policies",
    "_storage",
    "_checkpoint",
    "_bytes",
]
FRAMEWORK_FREE += ["_report", "_run", "_inspect", "testing"]
OWN_NAMES = ("_keras",)  # the one room that may use private names of Keras


def test_public_names():
    assert lastgood.__all__ == [
        "ArgumentError",
        "ArgumentTypeError",
        "Budget",
        "Checkpoint",
        "Checkpointer",
        "CorruptCheckpointError",
        "Epochs",
        "GroupError",
        "LastgoodError",
        "MissingExtraError",
        "ModelCheckpoint",
        "Moment",
        "MonitorError",
        "NotExactError",
        "PlaceholderError",
        "Problem",
        "Progress",
        "RestoreError",
        "Run",
        "RunInUseError",
        "SaveError",
        "Schedule",
        "StoreError",
        "TargetIsDirectoryError",
        "__version__",
        "load_model",
        "load_weights",
        "open_run",
        "restore",
        "verify_resume",
    ]
    assert all(
        error.__module__ == "lastgood._errors" for name, error in vars(lastgood).items() if name.endswith("Error")
    )


def test_errors_derive_from_the_builtins_that_the_contract_names():
    builtins = {
        "ArgumentError": ValueError,
        "ArgumentTypeError": TypeError,
        "CorruptCheckpointError": ValueError,
        "MissingExtraError": ImportError,
        "MonitorError": ValueError,
        "GroupError": RuntimeError,
        "NotExactError": AssertionError,
        "PlaceholderError": KeyError,
        "RestoreError": ValueError,
        "SaveError": OSError,
        "TargetIsDirectoryError": IsADirectoryError,
    }
    for name, builtin in builtins.items():
        assert issubclass(getattr(lastgood, name), (lastgood.LastgoodError,))
        assert issubclass(getattr(lastgood, name), builtin)


# What imports what: everywhere in a file, including in functions and for types


def _modules():
    """Yield (dotted name within the package, file) of each module; a package has the name of its directory."""
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        if len(parts) > 1 and parts[-1] == "__init__":
            parts = parts[:-1]
        yield ".".join(parts), path


MODULES = dict(_modules())


def _room(module):
    return module.partition(".")[0] or "__init__"


def _package_of(module):
    return module if MODULES[module].name == "__init__.py" and module != "__init__" else module.rpartition(".")[0]


def _targets(module, node):
    """Return the dotted names within the package that an import statement names, and the foreign packages."""
    if isinstance(node, ast.Import):
        return [], [alias.name.partition(".")[0] for alias in node.names]
    if not node.level:
        return [], [(node.module or "").partition(".")[0]]
    package = [part for part in _package_of(module).split(".") if part]
    base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
    found = []
    for alias in node.names:
        whole = ".".join([*base, alias.name])
        found.append(whole if whole in MODULES else ".".join(base) or "__init__")
    return found, []


def _imports():
    """Yield (module, what it imports from this package, what it imports from others) for each statement."""
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield (module, *_targets(module, node))


def test_each_module_is_in_the_order_and_each_import_leads_to_one():
    names = [name for name, _ in ORDER]
    assert {_room(module) for module in MODULES} == set(names)
    assert len(names) == len(set(names))
    nowhere = [(module, target) for module, own, _ in _imports() for target in own if target not in MODULES]
    assert not nowhere
    assert not [module for module, _, foreign in _imports() if "lastgood" in foreign], "use relative imports"


def test_imports_only_point_down():
    level = {name: i for i, (name, _) in enumerate(ORDER)}
    wrong = [
        (module, target)
        for module, own, _ in _imports()
        for target in own
        if level[_room(target)] > level[_room(module)]
    ]
    assert not wrong


def test_there_are_no_circular_imports():
    graph = {module: set() for module in MODULES}
    for module, own, _ in _imports():
        graph[module] |= {target for target in own if target != module and not module.startswith(f"{target}.")}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"circular import: {error.args[1]}")


def test_framework_free_modules_import_no_framework():
    wrong = [
        (module, foreign)
        for module, _, foreigners in _imports()
        for foreign in foreigners
        if foreign in FRAMEWORKS and _room(module) in FRAMEWORK_FREE
    ]
    assert not wrong


def test_the_page_on_the_rooms_has_the_same_order():
    text = (ROOT / "docs/en/contributing/rooms.md").read_text(encoding="utf-8")
    block = text.partition("<!-- the order of tests/test_package.py, highest first -->\n```text\n")[2]
    drawn = list(takewhile(lambda line: line != "```", block.splitlines()))
    names = {name: f"{name}/" if (SOURCE / name).is_dir() else f"{name}.py" for name, _ in ORDER}
    assert drawn == [f"{names[name]:16}{what}" for name, what in reversed(ORDER)]


def test_private_names_of_keras_are_in_one_room():
    users = {_room(module) for module, path in MODULES.items() if "keras.src" in path.read_text(encoding="utf-8")}
    assert users == set(OWN_NAMES)
    users = {module for module, path in MODULES.items() if "tensorflow.python" in path.read_text(encoding="utf-8")}
    assert users == {"_keras.tf_checkpoints", "_state.randomness", "_resuming.exactness"}


def test_no_class_is_longer_than_250_lines():
    long = [
        (module, node.name, node.end_lineno - node.lineno + 1)
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.end_lineno - node.lineno >= LONGEST_CLASS
    ]
    assert not long


# Who accesses the file system

# Calls that read, write, list, lock or rename, and modules for it. The methods of `Location` have other names.
_CALLS = {
    "read_bytes",
    "write_bytes",
    "read_text",
    "write_text",
    "unlink",
    "mkdir",
    "rmdir",
    "iterdir",
    "rglob",
    "glob",
}
_CALLS |= {"is_file", "is_dir", "is_symlink", "exists", "lstat", "stat", "touch", "symlink_to", "rmtree", "copyfile"}
_MODULES = {"shutil", "fcntl", "tempfile", "glob"}
_OS = {"open", "read", "write", "stat", "listdir", "scandir", "rename", "replace", "remove", "unlink", "mkdir", "rmdir"}
_OS |= {"makedirs", "walk", "path", "link", "symlink", "utime", "truncate", "fsync", "access", "chmod"}
# Modules that access files which are neither a checkpoint's nor a run's, and why.
_OTHERS = {
    "_bytes.hdf5_layout": "a layout without data, in a scratch directory",
    "_keras.stores": "what stock Keras writes to a scratch directory",
    "_formats.keras_directory": "what stock Keras writes below the path of a stage",
    "_formats.tf_checkpoint": "what TensorFlow writes below the path of a stage",
    "_inspect.export": "a file that the user asks for, below the path of a stage",
    "_state.callbacks": "the file of a CSVLogger, which is the user's",
    "testing.conformance.tools": "tests of storages: what is written below the path of a stage",
    "testing.conformance.reading": "tests of storages: what a local path holds",
    "testing.faults": "what is written to a stage, made durable before a fault",
}


def _touches(tree):
    """Yield the names in a module's code that access the file system."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in _MODULES)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if node.func.attr in _CALLS or (isinstance(owner, ast.Name) and owner.id == "os" and node.func.attr in _OS):
                yield ast.unparse(node.func)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            yield "open"


def test_only_the_storage_touches_the_file_system():
    found = {
        module: sorted(set(_touches(ast.parse(path.read_text(encoding="utf-8")))))
        for module, path in MODULES.items()
        if _room(module) != "_storage"
    }
    assert {module: calls for module, calls in found.items() if calls and module not in _OTHERS} == {}
    assert {module for module, calls in found.items() if calls} == set(_OTHERS), "an exception is no longer needed"


# At run time


def test_importing_the_package_imports_no_framework():
    code = "import lastgood, sys; print(sorted({'keras', 'tensorflow', 'jax', 'torch', 'h5py'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error():
    code = "import lastgood; lastgood.ModelCheckpiont"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "module 'lastgood' has no attribute 'ModelCheckpiont'" in done.stderr

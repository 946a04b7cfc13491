"""The private names of Keras 3 that lastgood uses, and a lastgood for which one of them has moved.

private_names.py DIRECTORY NAME...   trains and restarts once without each name; prints the results as JSON
"""

import ast
import importlib.util
import json
import re
import sys
import warnings
from pathlib import Path

ROOM = Path(importlib.util.find_spec("lastgood").origin).parent / "_keras"
MODULES = [path for path in sorted(ROOM.glob("*.py")) if not path.name.startswith("tf_") and path.name != "__init__.py"]
# Names of Python, torch, TensorFlow and lastgood, and the ends of longer names.
_OTHERS = {"_getframe", "_buffers", "_modules", "_parameters", "_input_dataset", "_lastgood_fit"}
_OTHERS |= {"_batch_begin", "_batch_end", "_function"}
_PRIVATE = re.compile(r"_[a-z][a-z0-9_]*")


def _own(tree):
    """Yield the private names that a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
            yield node.attr
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name):
            yield node.id


def _foreign(tree):
    """Yield the private names that a module uses of others, and what it imports from inside of Keras."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras.src"):
            yield from (each.name for each in node.names)


def names():
    """Return the names, sorted."""
    trees = [ast.parse(path.read_text()) for path in MODULES]
    package = [ast.parse(path.read_text()) for path in ROOM.parent.rglob("*.py")]
    own = {name for tree in package for name in _own(tree)} - _imported(trees)
    found = {name for tree in trees for name in _foreign(tree)}
    return sorted({name for name in found if _PRIVATE.fullmatch(name)} - own - _OTHERS | _imported(trees))


def _imported(trees):
    """Return what is imported from inside of Keras."""
    return {
        each.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras.src")
        for each in node.names
    }


class Moved(ast.NodeTransformer):
    """Replaces a name by one that does not exist, as if Keras had moved it."""

    def __init__(self, name):
        self.name = name

    def visit_Attribute(self, node):
        self.generic_visit(node)
        return ast.copy_location(ast.Attribute(node.value, self._of(node.attr), node.ctx), node)

    def visit_Constant(self, node):
        return ast.copy_location(ast.Constant(self._of(node.value)), node)

    def visit_ImportFrom(self, node):
        if (node.module or "").startswith("keras.src"):
            node.names = [ast.alias(self._of(each.name), each.asname or each.name) for each in node.names]
        return node

    def _of(self, name):
        return f"{name}_before_it_moved" if name == self.name else name


class Finder:
    """Finds the modules of the room, with the moved name in them."""

    def __init__(self, name):
        self.name = name

    def find_spec(self, full, path, target=None):
        place = ROOM / f"{full.rpartition('.')[2]}.py"
        if full.rpartition(".")[0] != "lastgood._keras" or place not in MODULES:
            return None
        return importlib.util.spec_from_loader(full, self, origin=str(place))

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        tree = Moved(self.name).visit(ast.parse(Path(module.__spec__.origin).read_text()))
        exec(compile(ast.fix_missing_locations(tree), module.__spec__.origin, "exec"), module.__dict__)


def without(name):
    """Import lastgood again, with a name of Keras moved."""
    for each in [each for each in sys.modules if each.partition(".")[0] == "lastgood"]:
        del sys.modules[each]
    sys.meta_path[:] = [Finder(name), *(each for each in sys.meta_path if not isinstance(each, Finder))]
    return importlib.import_module("lastgood")


def model_and_data():
    """Return a model and data, the same each time."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(4), keras.layers.Dropout(0.5)])
    model.compile("adam", "mse", metrics=["mae"])
    return model, *np.random.default_rng(0).normal(size=(2, 16, 4)).astype("float32")


def train(lastgood, path, epochs):
    """Train, or resume; return the weights and the warnings."""
    model, x, y = model_and_data()
    checkpoint = lastgood.ModelCheckpoint(path, save_weights_only=path.endswith("h5"), save_freq=1, resume=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, y, epochs=epochs, batch_size=8, verbose=0, callbacks=[checkpoint])
    return model.get_weights(), [str(each.message) for each in caught]


def same(some, others):
    """Tell whether two lists of arrays are equal to the bit."""
    return len(some) == len(others) and all((a == b).all() for a, b in zip(some, others, strict=True))


def attempt(name, directory):
    """Train, and resume; return what is wrong, or an empty text, and the warnings and errors."""
    import keras

    lastgood = without(name)
    told = []
    for ending in (".keras", ".weights.h5"):
        path = f"{directory}/{{epoch}}{ending}"
        _, first = train(lastgood, path, 2)
        try:
            weights, second = train(lastgood, path, 3)
        except lastgood.RestoreError as error:
            told += [*first, f"RestoreError: {error}"]
            continue
        told += [*first, *second]
        loaded, _, _ = model_and_data()
        loaded.load_weights(f"{directory}/3{ending}")
        if not same(loaded.get_weights(), weights):
            return f"what is in {directory}/3{ending} is not what was trained", told
        if ending == ".keras" and not same(keras.models.load_model(f"{directory}/3.keras").get_weights(), weights):
            return "stock loads another model", told
        if ending == ".keras" and not same(lastgood.load_model(f"{directory}/3.keras").get_weights(), weights):
            return "lastgood loads another model", told
        whole, _ = train(lastgood, f"{directory}/whole{{epoch}}{ending}", 3)
        if not same(whole, weights) and not any("not be exact" in each for each in told):
            return "the restart was not exact, and no warning said so", told
    return "", told


def main():
    """Try each name."""
    directory, *tried = sys.argv[1:]
    for name in tried:
        place = Path(directory, name)
        place.mkdir()
        try:
            wrong, told = attempt(name, place)
        except Exception as error:  # noqa: BLE001 - it is the finding
            wrong, told = f"{type(error).__name__}: {error}", []
        print(json.dumps({"name": name, "wrong": wrong, "told": sorted(set(told))}), flush=True)


if __name__ == "__main__":
    main()

"""Run Keras's own tests of ModelCheckpoint, from the installed wheel, on lastgood's class."""

import ast
import importlib.util
import warnings
from pathlib import Path

import keras.src.callbacks.model_checkpoint as stock
import pytest

from helpers.kit import keras
from lastgood import ModelCheckpoint

pytestmark = pytest.mark.any_backend

SUITE = Path(stock.__file__).with_name("model_checkpoint_test.py")
_DEVIATING_TEST = "test_model_checkpoint_options"


class _InvertCaseFive(ast.NodeTransformer):
    """Expect no save if the monitored metric is missing.

    The document says "Can save best model only with <name> available, skipping", and so did Keras up to 3.9. Since 3.10
    Keras saves instead, which overwrites the best model with the current one. Its suite asserts that in case 5, the
    only ``assertTrue`` directly after a ``with pytest.warns``.
    """

    def __init__(self):
        self.inverted = 0

    def visit_FunctionDef(self, node):
        if node.name == _DEVIATING_TEST:
            for before, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(before, ast.With) and ast.unparse(before.items[0]).startswith("pytest.warns"):
                    assert ast.unparse(after) == "self.assertTrue(os.path.exists(filepath))"
                    after.value.func.attr = "assertFalse"
                    self.inverted += 1
        return self.generic_visit(node)


def _load_suite():
    if not SUITE.exists():
        return None
    tree, invert = ast.parse(SUITE.read_text()), _InvertCaseFive()
    invert.visit(tree)
    assert invert.inverted == 1
    spec = importlib.util.spec_from_loader("keras_own_model_checkpoint_test", loader=None)
    module = importlib.util.module_from_spec(spec)
    exec(compile(tree, SUITE, "exec"), module.__dict__)
    return module


with warnings.catch_warnings():  # Keras's own testing helpers may warn
    warnings.simplefilter("ignore")
    _SUITE = _load_suite()
_CASES = [name for name in dir(_SUITE.ModelCheckpointTest) if name.startswith("test_m")] if _SUITE else []


def test_the_suite_of_keras_is_found():
    assert _DEVIATING_TEST in _CASES
    assert len(_CASES) >= 2


@pytest.mark.parametrize("name", _CASES)
def test_keras_own(name, monkeypatch):
    monkeypatch.setattr(keras.src.callbacks, "ModelCheckpoint", ModelCheckpoint)
    assert _SUITE.callbacks.ModelCheckpoint is ModelCheckpoint
    case = _SUITE.ModelCheckpointTest(name)
    case.setUp()
    try:
        getattr(case, name)()
    finally:
        case.tearDown()
        case.doCleanups()

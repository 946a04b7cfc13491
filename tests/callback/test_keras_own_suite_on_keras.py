"""Keras's own tests of ModelCheckpoint, taken from the installed wheel, with our class in its place."""

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


class _TurnCaseFiveAround(ast.NodeTransformer):
    """Expect that nothing is saved where the monitored metric is missing.

    The document says "Can save best model only with <name> available, skipping", and so did Keras up to 3.9. From 3.10
    on Keras saves instead, which overwrites the best model with whatever there is, and its suite asserts that: case 5,
    the one ``assertTrue`` that comes right after a ``with pytest.warns``.
    """

    def __init__(self):
        self.turned = 0

    def visit_FunctionDef(self, node):
        if node.name == _DEVIATING_TEST:
            for before, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(before, ast.With) and ast.unparse(before.items[0]).startswith("pytest.warns"):
                    assert ast.unparse(after) == "self.assertTrue(os.path.exists(filepath))"
                    after.value.func.attr = "assertFalse"
                    self.turned += 1
        return self.generic_visit(node)


def _load_suite():
    if not SUITE.exists():
        return None
    tree, turn = ast.parse(SUITE.read_text()), _TurnCaseFiveAround()
    turn.visit(tree)
    assert turn.turned == 1
    spec = importlib.util.spec_from_loader("keras_own_model_checkpoint_test", loader=None)
    module = importlib.util.module_from_spec(spec)
    exec(compile(tree, SUITE, "exec"), module.__dict__)
    return module


with warnings.catch_warnings():  # Keras's own testing helpers are not ours to keep free of warnings
    warnings.simplefilter("ignore")
    _SUITE = _load_suite()
_CASES = [name for name in dir(_SUITE.ModelCheckpointTest) if name.startswith("test_m")] if _SUITE else []


def test_the_suite_is_there():
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

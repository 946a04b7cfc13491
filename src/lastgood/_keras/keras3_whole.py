"""Loading of whole models of Keras 3. The private names are those of Keras 3.15.1."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras

from .keras3_variables import Keras3Variables
from .processes import are_distributed
from .whole_model import ModelLoader

_UNINITIALIZED = "uninitialized_variables"
_SHARED = "shared_object_id"


class Keras3Loader(ModelLoader):
    """The loader that works as ``keras.saving.load_model``."""

    generation = "keras"

    def whole(self, path: str) -> Any:
        """Load the model from a file or directory with stock Keras alone."""
        return keras.saving.load_model(path, *self._arguments())

    def creating(self, config: bytes) -> Iterator[Any]:
        """Yield the model of a ``config.json``, before and after it is compiled; nothing if Keras exposes no way."""
        created: list[Any] = []
        model = self._without_values(config, created) if _can_postpone_values() else None
        if model is None:
            yield from self._at_once(config)
            return
        yield model
        _compute_values(created)
        _register_parameters(model)
        settings = json.loads(config).get("compile_config")
        if self.compile and settings:
            created = []
            self._compile(model, settings, created)
            yield model
            _compute_values(created)

    def completed(self, model: Any, path: str) -> Any:
        """Load the rest of an archive into a model of :meth:`creating` with stock Keras; return the model."""
        try:
            from keras.src.saving.saving_lib import load_model
        except ImportError:
            return self.whole(path)
        return self._completed(load_model, model, path)

    def _at_once(self, config: bytes) -> Iterator[Any]:
        try:
            from keras.src.saving.saving_lib import _model_from_config
        except ImportError:
            return
        yield _model_from_config(config, *self._arguments())

    def _without_values(self, config: bytes, created: list[Any]) -> Any:
        """Return the model, not compiled, whose variables await their values; None if that is impossible.

        Layers cannot create variables from arrays in a stateless scope, and what they assign there is lost.
        """
        from keras.src.saving.serialization_lib import ObjectSharingScope

        settings = json.loads(config)
        if _SHARED in json.dumps(settings.pop("compile_config", None)):
            return None  # the model and what it is compiled with may share it
        try:
            with ObjectSharingScope(), _postponing_values(created) as scope:
                model = keras.saving.deserialize_keras_object(settings, self.custom_objects, self.safe_mode)
        except Exception:  # noqa: BLE001 - code of any layer; the usual way tells whether it fails there, too
            return None
        return None if scope.state_mapping else model

    def _compile(self, model: Any, settings: Mapping[str, Any], created: list[Any]) -> None:
        """Compile as ``deserialize_keras_object`` does, but let the optimizer's variables await their values."""
        from keras.src.saving.serialization_lib import SafeModeScope, in_safe_mode

        safe = self.safe_mode if in_safe_mode() is None else in_safe_mode()
        with keras.saving.custom_object_scope(self.custom_objects or {}), SafeModeScope(safe):
            if not _compile_without_values(model, settings, created):
                created.clear()
                model.compile_from_config(settings)
        model.compiled = True


def _compile_without_values(model: Any, settings: Mapping[str, Any], created: list[Any]) -> bool:
    """Do what ``compile_from_config`` does, and return True, unless the model's class or its optimizer hinders it."""
    own = type(model).compile, type(model).compile_from_config
    if own != (keras.Model.compile, keras.Model.compile_from_config):
        return False
    model.compile(**keras.saving.deserialize_keras_object(settings))
    try:
        with _postponing_values(created) as scope:
            if model.built:
                model.optimizer.build(model.trainable_variables)
    except Exception:  # noqa: BLE001 - code of any optimizer; the usual way tells whether it fails there, too
        return False
    return not scope.state_mapping


@contextmanager
def _postponing_values(created: list[Any]) -> Iterator[keras.StatelessScope]:
    """Make Keras note, rather than compute, the initial values of variables that the block creates.

    A variable that is given another value needs no memory, and no random numbers, for an initial one.

    Args:
        created: Receives the variables. Keras would keep them, and compute their values in the next stateless scope.
    """
    from keras.src.backend.common import global_state  # each thread has its own

    before = global_state.get_global_attribute(_UNINITIALIZED)
    global_state.set_global_attribute(_UNINITIALIZED, created)
    try:
        with keras.StatelessScope(initialize_variables=False) as scope:
            yield scope
    finally:
        global_state.set_global_attribute(_UNINITIALIZED, before)


def _compute_values(created: list[Any]) -> None:
    """Let variables have the values that they were given, or else their initial values."""
    for variable in created:
        if Keras3Variables.awaits_value(variable):
            variable._deferred_initialize()


def _can_postpone_values() -> bool:
    """Return True if Keras has the names that are used here, with the same meaning, and distributes no variables."""
    created: list[Any] = []
    try:
        # The loader needs these names once it has begun.
        from keras.src.saving.serialization_lib import ObjectSharingScope, SafeModeScope, in_safe_mode  # noqa: F401

        with _postponing_values(created):
            probe = keras.Variable("zeros", shape=())
        if not any(each is probe for each in created) or not Keras3Variables.awaits_value(probe):
            return False
        Keras3Variables.give_value(probe, keras.ops.ones(()))
        _compute_values(created)
        return int(Keras3Variables.to_numpy(probe)) == 1 and not are_distributed()
    except (ImportError, AttributeError, TypeError, ValueError):
        return False


def _register_parameters(model: Any) -> None:
    """Register variables as parameters of their layers' torch modules, as Keras does outside of a stateless scope."""
    if keras.backend.backend() != "torch":
        return
    for module in list(model.modules()):
        register = getattr(module, "_track_variables", None)  # if it has moved, Keras does so on demand
        if register is not None and module.built and not hasattr(module, "_torch_params"):
            register()

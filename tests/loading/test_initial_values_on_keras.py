"""Initial values of a model that is loaded: they are computed only for variables that are not in the file."""

import threading
import warnings

import keras
import numpy as np
import pytest

import lastgood
from helpers.kit import to_numpy
from lastgood import ModelCheckpoint

ROWS = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
COMPUTED = []


class Noted(keras.initializers.Initializer):
    """An initializer that notes its shapes."""

    def __call__(self, shape, dtype=None, **_):
        COMPUTED.append(tuple(shape))
        return keras.ops.ones(shape, dtype)


class Assigning(keras.layers.Layer):
    """A layer that assigns a value while it is built, and derives a number from it."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="zeros")
        self.scale.assign(np.full(shape[-1], 2, "float32"))
        self.total = float(np.sum(np.asarray(to_numpy(self.scale))))

    def call(self, x):
        return x * self.scale + self.total


class FromArray(keras.layers.Layer):
    """A layer that creates a variable from an array."""

    def build(self, shape):
        self.scale = keras.Variable(np.arange(shape[-1], dtype="float32"))

    def call(self, x):
        return x * self.scale


class Counted(keras.layers.Dense):
    """A layer with a variable that it does not save."""

    def build(self, shape):
        super().build(shape)
        self.calls = self.add_weight(shape=(), initializer=keras.initializers.Constant(5), trainable=False)

    def save_own_variables(self, store):
        store["0"], store["1"] = self.kernel, self.bias

    def load_own_variables(self, store):
        self.kernel.assign(store["0"])
        self.bias.assign(store["1"])


class Slowed(keras.optimizers.SGD):
    """An optimizer that creates a variable from a number when it is built."""

    def build(self, variables):
        super().build(variables)
        self.slowness = keras.Variable(np.float32(3))


class OwnCompile(keras.Sequential):
    """A model that stock Keras does not compile when it loads it."""

    def compile(self, optimizer="sgd", loss="mse", **others):
        super().compile(optimizer, loss, **others)


class OwnFromConfig(keras.Sequential):
    """A model that compiles itself in ``from_config``, before Keras compiles it as it was saved."""

    @classmethod
    def from_config(cls, config, custom_objects=None):
        model = super().from_config(config, custom_objects)
        model.compile("sgd", "mae")
        return model


CLASSES = (Noted, Assigning, FromArray, Counted, Slowed, OwnCompile, OwnFromConfig)
OBJECTS = {each.__name__: each for each in CLASSES}


def _saved(path, layers, optimizer="adam", kind=keras.Sequential):
    model = kind([keras.Input((4,)), *layers, keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    model.fit(ROWS, ROWS[:, :1], verbose=0)
    checkpoint = ModelCheckpoint(path)
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(0, {})
    checkpoint.wait()
    return path


def _loaded(path):
    """Return the model that lastgood loads, and the one that stock Keras loads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`compile\(\)` was not called as part of model loading")
        return [load(path, OBJECTS) for load in (lastgood.load_model, keras.saving.load_model)]


def _values(model):
    optimizer = model.optimizer.variables if getattr(model, "optimizer", None) else ()
    return [np.asarray(to_numpy(each)) for each in (*model.variables, *optimizer)]


def test_no_initial_value_is_computed_for_a_variable_in_the_file(tmp_path):
    layers = [keras.layers.Dense(3, kernel_initializer=Noted(), name=f"d{i}") for i in range(2)]
    path = _saved(tmp_path / "m.keras", layers)
    COMPUTED.clear()
    lastgood.load_model(path, OBJECTS)
    assert not COMPUTED
    keras.saving.load_model(path, OBJECTS)
    assert COMPUTED


@pytest.mark.parametrize(
    "parts",
    [
        {"layers": [Assigning()]},
        {"layers": [FromArray()]},
        {"layers": [Counted(3)]},
        {"layers": [keras.layers.Dense(3)], "optimizer": Slowed()},
        {"layers": [keras.layers.Dense(3)], "kind": OwnCompile},
        {"layers": [keras.layers.Dense(3)], "kind": OwnFromConfig},
    ],
    ids=["assigns", "from-array", "not-in-the-file", "optimizer", "own-compile", "own-from-config"],
)
def test_a_model_that_needs_its_initial_values_is_loaded_as_stock_keras_loads_it(tmp_path, parts):
    ours, stock = _loaded(_saved(tmp_path / "m.keras", **parts))
    for one, other in zip(_values(ours), _values(stock), strict=True):
        np.testing.assert_array_equal(one, other)
    assert type(getattr(ours, "optimizer", None)) is type(getattr(stock, "optimizer", None))
    assert ours.compiled == stock.compiled
    np.testing.assert_array_equal(ours.predict(ROWS, verbose=0), stock.predict(ROWS, verbose=0))


def test_a_layer_that_fails_leaves_nothing_behind_for_the_next_model(tmp_path, monkeypatch):
    path = _saved(tmp_path / "m.keras", [Counted(3)])

    def fails(self, shape):
        self.half_built = self.add_weight(shape=(3,), initializer=Noted())
        raise RuntimeError("no such shape")

    monkeypatch.setattr(Counted, "build", fails)
    for load in (keras.saving.load_model, lastgood.load_model):
        with pytest.raises(RuntimeError, match="no such shape"):
            load(path, OBJECTS)
    COMPUTED.clear()
    with keras.StatelessScope():
        pass
    assert not COMPUTED


def test_two_threads_load_models_at_once(tmp_path):
    paths = [_saved(tmp_path / f"{units}.keras", [keras.layers.Dense(units)]) for units in (3, 5)]
    loaded = {}
    threads = [threading.Thread(target=lambda p=path: loaded.update({p: lastgood.load_model(p)})) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for path in paths:
        for one, other in zip(_values(loaded[path]), _values(keras.saving.load_model(path)), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="models of other back ends have no torch parameters")
def test_the_parameters_are_those_of_a_torch_module(tmp_path):
    ours, stock = _loaded(_saved(tmp_path / "m.keras", [keras.layers.Dense(3), keras.layers.BatchNormalization()]))
    assert list(ours.state_dict()) == list(stock.state_dict())
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in stock.named_parameters()]
    assert [p.requires_grad for p in ours.parameters()] == [p.requires_grad for p in stock.parameters()]
    for one, other in zip(ours.parameters(), stock.parameters(), strict=True):
        assert one.equal(other)

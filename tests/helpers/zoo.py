"""Models of every kind that have to be saved correctly. Does not import lastgood: the stock loader uses it, too.

Each builder returns a compiled, built model with stable names, and data to fit it on.
"""

from importlib.util import find_spec

import keras
import numpy as np
from keras import layers, ops

from . import sampling

PACKAGE = "zoo"
ROWS = 16


def _inputs(*shape):
    return np.random.default_rng(0).normal(size=(ROWS, *shape)).astype("float32")


def _targets(width=1):
    return np.random.default_rng(1).normal(size=(ROWS, width)).astype("float32")


def _compiled(model, loss=None, **kwargs):
    # An object, since stock Keras cannot read the name "mse" from a legacy file that it wrote.
    loss = loss or keras.losses.MeanSquaredError()
    # Named, since a directory of weights identifies variables by path, and Keras numbers the names that it makes.
    model.compile(optimizer=keras.optimizers.Adam(name="adam"), loss=loss, **kwargs)
    model.optimizer.build(model.trainable_variables)
    return model


def norm_dropout():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, name="first"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.5, name="drop"),
            layers.Dense(1, name="last"),
        ],
        name="norm_dropout",
    )
    return _compiled(model, metrics=[keras.metrics.MeanAbsoluteError()]), _inputs(6), _targets()


def multi_output():
    x = keras.Input((6,), name="x")
    h = layers.Dense(8, name="hidden")(x)
    outputs = {"left": layers.Dense(1, name="left")(h), "right": layers.Dense(2, name="right")(h)}
    model = keras.Model(x, outputs, name="multi_output")
    loss = {"left": keras.losses.MeanSquaredError(), "right": keras.losses.MeanAbsoluteError()}
    _compiled(model, loss=loss, metrics={"left": [keras.metrics.MeanAbsoluteError()]})
    return model, _inputs(6), {"left": _targets(), "right": _targets(2)}


def nested():
    inner = keras.Sequential([keras.Input((8,)), layers.Dense(8, name="in_a"), layers.Dense(8, name="in_b")], name="in")
    x = keras.Input((6,), name="x")
    y = layers.Dense(1, name="out")(inner(layers.Dense(8, name="pre")(x)))
    return _compiled(keras.Model(x, y, name="nested")), _inputs(6), _targets()


@keras.saving.register_keras_serializable(PACKAGE)
class Subclassed(keras.Model):
    def __init__(self, width=8, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.blocks = [layers.Dense(width, name=f"block_{i}") for i in range(2)]
        self.head = layers.Dense(1, name="head")

    def call(self, x):
        for block in self.blocks:
            x = ops.tanh(block(x))
        return self.head(x)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def subclassed():
    model = Subclassed(name="subclassed")
    model(_inputs(6))
    return _compiled(model), _inputs(6), _targets()


@keras.saving.register_keras_serializable(PACKAGE)
class Scale(layers.Layer):
    """A layer that saves its own variables under its own names."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones", name="factor")
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls", dtype="int32")

    def call(self, x):
        return x * self.factor

    def save_own_variables(self, store):
        store["the_factor"] = ops.convert_to_numpy(self.factor)
        store["the_calls"] = ops.convert_to_numpy(self.calls)

    def load_own_variables(self, store):
        self.factor.assign(store["the_factor"])
        self.calls.assign(store["the_calls"])


def custom_layer():
    x = keras.Input((6,), name="x")
    y = layers.Dense(1, name="out")(Scale(name="scale")(x))
    return _compiled(keras.Model(x, y, name="custom_layer")), _inputs(6), _targets()


@keras.saving.register_keras_serializable(PACKAGE)
class WithVocabulary(keras.Model):
    """Has a lookup layer whose vocabulary is an asset: part of a complete model, not of its weights."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lookup = layers.StringLookup(name="lookup")
        self.head = layers.Dense(1, name="head")

    def call(self, x):
        return self.head(x)


def vocabulary():
    model = WithVocabulary(name="vocabulary")
    model(_inputs(6))
    model.lookup.adapt(np.array(["checkpoint", "epoch", "epoch", "模型"]))
    return _compiled(model), _inputs(6), _targets()


def shared_layers():
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    shared = layers.Dense(4, name="shared")
    y = layers.Dense(1, name="out")(layers.Concatenate(name="both")([shared(a), shared(b)]))
    return _compiled(keras.Model([a, b], y, name="shared_layers")), [_inputs(6), _inputs(6) + 1], _targets()


def _with_policy(policy, name):
    x = keras.Input((6,), name="x")
    h = layers.Dense(8, dtype=policy, name="hidden")(x)
    y = layers.Dense(1, dtype=policy, name="out")(h)
    return _compiled(keras.Model(x, y, name=name)), _inputs(6), _targets()


def bfloat16():
    return _with_policy("bfloat16", "bfloat16")


def mixed_bfloat16():
    return _with_policy("mixed_bfloat16", "mixed_bfloat16")


def mixed_float16():
    """The policy under which ``compile`` wraps the optimizer in one that scales the loss."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return _with_policy("mixed_float16", "mixed_float16")
    finally:
        keras.config.set_dtype_policy(before)


def quantized():
    x = keras.Input((6,), name="x")
    hidden = layers.Dense(8, name="hidden")
    model = keras.Model(x, layers.Dense(1, name="out")(hidden(x)), name="quantized")
    hidden.quantize("int8")
    return _compiled(model), _inputs(6), _targets()


def lora():
    x = keras.Input((6,), name="x")
    hidden = layers.Dense(8, name="hidden")
    model = keras.Model(x, layers.Dense(1, name="out")(hidden(x)), name="lora")
    hidden.enable_lora(2)
    return _compiled(model), _inputs(6), _targets()


@keras.saving.register_keras_serializable(PACKAGE)
class OddTypes(layers.Layer):
    """Has variables that a backend narrows, such as int64 on jax, that are not numbers, or that are empty."""

    def build(self, shape):
        def add(name, *of_shape):
            return self.add_weight(shape=of_shape, dtype=name, initializer="ones", trainable=False, name=f"of_{name}")

        self.odd = [add("int64"), add("uint8", 3), add("uint16", 2), add("uint32", 2), add("float64", 2)]
        self.odd += [add("float16", 2), add("bool", 3), add("bfloat16", 3), add("int8", 0)]
        self.empty = self.add_weight(shape=(0, 4), initializer="zeros", trainable=False, name="empty")

    def call(self, x):
        return x


def odd_types():
    x = keras.Input((6,), name="x")
    y = layers.Dense(1, name="out")(OddTypes(name="odd")(x))
    return _compiled(keras.Model(x, y, name="odd_types")), _inputs(6), _targets()


CUSTOM_OBJECTS = {cls.__name__: cls for cls in (Subclassed, Scale, WithVocabulary, OddTypes)}

BUILDERS = {
    builder.__name__: builder
    for builder in (
        norm_dropout,
        multi_output,
        nested,
        subclassed,
        custom_layer,
        vocabulary,
        shared_layers,
        bfloat16,
        mixed_bfloat16,
        mixed_float16,
        quantized,
        lora,
        odd_types,
    )
}


NEEDS = {"vocabulary": "tensorflow"}  # on any backend


TRIED = sampling.some_of(BUILDERS)


def there():
    """Return the names of the builders that are tried in this run, and whose packages are installed."""
    return [name for name in TRIED if name not in NEEDS or find_spec(NEEDS[name])]


def parameters():
    """Return the names of the builders that are tried, for tests that are skipped where a package is missing."""
    import pytest

    lacking = {name: f"{NEEDS[name]} is not installed" for name in TRIED if name not in there()}
    return [
        pytest.param(name, marks=pytest.mark.skip(reason=lacking[name])) if name in lacking else name for name in TRIED
    ]


def state(model):
    """Return everything that a checkpoint of ``model`` holds, as arrays by position."""
    optimizer = getattr(model, "optimizer", None)
    found = {f"weight {i} {w.name}": w for i, w in enumerate(model.weights)}
    found |= {f"optimizer {i}": v for i, v in enumerate(optimizer.variables if optimizer is not None else ())}
    arrays = {name: np.asarray(ops.convert_to_numpy(v)) for name, v in found.items()}
    return {name: array.astype("float32") if array.dtype.kind == "V" else array for name, array in arrays.items()}

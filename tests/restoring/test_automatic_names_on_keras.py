"""A model that is built twice in one process, as when a notebook cell is run again: Keras changes its names."""

import numpy as np
import pytest

import lastgood
from helpers.kit import TF_KERAS, keras, to_numpy
from lastgood import Checkpointer, ModelCheckpoint, RestoreError

BACKEND = "tensorflow" if TF_KERAS else keras.backend.backend()
X = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
Y = (X.sum(axis=1, keepdims=True) > 0).astype("float32")
# path, weights only
FORMATS = {"m.keras": False, "m.weights.h5": True, "w.h5": True, "m": True}
if not TF_KERAS:
    FORMATS |= {"directory": False}


def build(name=None):
    """Return a model with automatic names only, except for one layer if a name is given."""
    encoder = keras.layers.Dense(6, activation="relu", **({"name": name} if name else {}))
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6), keras.layers.Dense(6)])
    rest = [keras.layers.Dropout(0.4), keras.layers.BatchNormalization(), inner, keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((4,)), encoder, *rest])
    model.compile(keras.optimizers.RMSprop(momentum=0.5), "mse", metrics=[keras.metrics.AUC()])
    return model


def train(callbacks, epochs, make=build):
    keras.utils.set_random_seed(1)
    model = make()
    model.fit(X, Y, epochs=epochs, batch_size=4, verbose=0, callbacks=callbacks)
    return model


def values(model):
    return [np.array(to_numpy(each)) for each in [*model.weights, *model.optimizer.variables]]


def assert_alike(some, others):
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", FORMATS)
def test_a_cell_that_is_run_again_continues_its_training(tmp_path, name):
    def callback():
        return ModelCheckpoint(tmp_path / name, save_weights_only=FORMATS[name], resume=True)

    train([callback()], 1)
    assert_alike(values(train([callback()], 3)), values(train([], 3)))


@pytest.mark.parametrize("name", FORMATS)
def test_weights_are_loaded_into_a_model_that_is_built_again(tmp_path, name):
    trained = train([ModelCheckpoint(tmp_path / name, save_weights_only=FORMATS[name])], 1)
    for load in (lastgood.load_weights, lastgood.restore):
        model = build()
        load(model, tmp_path / name)
        assert_alike([to_numpy(w) for w in model.weights], [to_numpy(w) for w in trained.weights])


@pytest.mark.parametrize("ending", [".weights.h5", ""])
def test_a_custom_loop_that_is_run_again_restores_its_model(tmp_path, ending):
    with Checkpointer(f"{tmp_path}/{{step}}{ending}", save_weights_only=True) as checkpointer:
        trained = train([], 1)
        checkpointer.save(trained, step=1)
    with Checkpointer(f"{tmp_path}/{{step}}{ending}", save_weights_only=True) as checkpointer:
        model = build()
        assert checkpointer.restore(model).step == 1
    assert_alike(values(model), values(trained))


@pytest.mark.skipif(TF_KERAS, reason="the format needs Keras 3")
def test_layer_names_given_by_the_user_must_still_match(tmp_path):
    train([ModelCheckpoint(tmp_path / "m", save_weights_only=True)], 1, lambda: build("encoder"))
    again = build("encoder")
    lastgood.load_weights(again, tmp_path / "m")
    wanted = (
        r"'trainable_variables/sequential_?\d*/decoder/bias' has the shape \(6,\) \(float32\) in the model and is not"
    )
    with pytest.raises(RestoreError, match=wanted):
        lastgood.load_weights(build("decoder"), tmp_path / "m")


@pytest.mark.parametrize("name", ["m.weights.h5", "m.keras"])
def test_the_error_for_another_model_names_the_variables_that_differ(tmp_path, name):
    def other():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(1)])
        model.compile(keras.optimizers.RMSprop(momentum=0.5), "mse")
        return model

    options = {"save_weights_only": FORMATS[name], "resume": True}
    train([ModelCheckpoint(tmp_path / name, **options)], 1)
    wanted = (
        r"dense_?\d*/kernel' \('layers/dense/vars/0'\) has the shape \(4, 3\) \(float32\) in the model and \(4, 6\) "
    )
    with pytest.raises(
        RestoreError, match=wanted if not TF_KERAS else r"has the shape \(4, 3\) \(float32\) in the model"
    ):
        train([ModelCheckpoint(tmp_path / name, **options)], 2, other)


@pytest.mark.skipif(BACKEND != "torch", reason="needs torch")
@pytest.mark.parametrize("name", FORMATS)
def test_a_torch_module_keeps_its_buffers(tmp_path, name):
    import torch

    def make():
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.ReLU())
        wrapped = keras.layers.TorchModuleWrapper(net, output_shape=(None, 6))
        model = keras.Sequential([keras.Input((4,)), wrapped, keras.layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    def callback():
        return ModelCheckpoint(tmp_path / name, save_weights_only=FORMATS[name], resume=True)

    train([callback()], 1, make)
    resumed, whole = train([callback()], 3, make), train([], 3, make)
    assert_alike(values(resumed), values(whole))
    states = [model.layers[0].module.state_dict() for model in (resumed, whole)]
    assert_alike(*([value.numpy() for value in state.values()] for state in states))

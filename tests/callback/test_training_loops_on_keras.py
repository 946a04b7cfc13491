"""Save with the different ways to call ``fit``."""

import pytest

from helpers import counting
from helpers.kit import keras
from lastgood import ModelCheckpoint

BACKEND = keras.backend.backend()


@pytest.mark.parametrize("bare", [False, True])
def test_each_file_holds_the_step_in_its_name_for_a_bare_callback_and_a_list(fit, tmp_path, bare):
    """Keras runs the batch hooks of a bare callback in threads beside the training, unless lastgood prevents it."""
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}-{batch}.weights.h5", save_weights_only=True, save_freq=1)
    fit(counting.model(), checkpoint if bare else [checkpoint], epochs=2)
    for epoch in (1, 2):
        for batch in range(1, 11):
            assert counting.steps_in(tmp_path / f"{epoch}-{batch}.weights.h5") == (epoch - 1) * 10 + batch


def test_a_bare_callback_can_save_by_epoch(fit, make_model, tmp_path, names):
    fit(make_model(), ModelCheckpoint(tmp_path / "{epoch}.keras"), epochs=2)
    assert names(tmp_path) == ["1.keras", "2.keras"]


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.skipif(BACKEND == "torch", reason="Keras refuses steps_per_execution on torch")
def test_steps_per_execution_on_data_of_unknown_size(data, make_model, tmp_path, names):
    x, y = data

    def batches():
        for start in range(0, 40, 4):
            yield x[start : start + 4], y[start : start + 4]

    model = make_model(steps_per_execution=5)
    model.fit(batches(), shuffle=False, verbose=0, callbacks=[ModelCheckpoint(tmp_path / "{batch}.keras", save_freq=5)])
    assert names(tmp_path) == ["10.keras", "5.keras"]


class OwnStep(keras.Model):
    """A model with a custom ``train_step`` for each backend."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(x)

    def train_step(self, *args):
        if BACKEND == "jax":
            logs, state = super().train_step(*args)
            return {**logs, "twice": 2 * logs["loss"]}, state
        logs = super().train_step(*args)
        return {**logs, "twice": 2 * logs["loss"]}


def test_metrics_logged_by_a_custom_train_step_fill_the_path(fit, tmp_path, names):
    model = OwnStep()
    model.compile("sgd", "mse")
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}-{twice:.4f}.weights.h5", save_weights_only=True)
    history = fit(model, [checkpoint], epochs=2).history
    assert names(tmp_path) == [f"{i}-{twice:.4f}.weights.h5" for i, twice in enumerate(history["twice"], start=1)]


def test_run_eagerly(fit, make_model, tmp_path, names):
    model = make_model(run_eagerly=True)
    fit(model, [ModelCheckpoint(tmp_path / "{epoch}-{batch}.keras", save_freq=5)], epochs=1)
    assert names(tmp_path) == ["1-10.keras", "1-5.keras"]


def test_one_callback_in_two_fits_remembers_the_best(fit, make_model, tmp_path, names):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", "loss", save_best_only=True)
    model = make_model()
    fit(model, [checkpoint])
    best = checkpoint.best
    fit(make_model(), [checkpoint], epochs=5, initial_epoch=4)  # another model, untrained
    assert checkpoint.best <= best
    assert names(tmp_path) == (["1.keras", "5.keras"] if checkpoint.best < best else ["1.keras"])


def test_two_callbacks_in_one_directory_do_not_touch_each_others_files(fit, make_model, tmp_path, names):
    model = make_model()
    last = ModelCheckpoint(tmp_path / "last.keras")
    best = ModelCheckpoint(tmp_path / "best.keras", "loss", save_best_only=True, initial_value_threshold=1e9)
    fit(model, [last, best], epochs=2)
    assert names(tmp_path) == ["best.keras", "last.keras"]
    assert keras.models.load_model(tmp_path / "last.keras").get_weights()[0].shape == (4, 3)


class Raises(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise RuntimeError("raised by another callback")


def test_an_exception_in_another_callback_keeps_saved_checkpoints(fit, make_model, tmp_path, names):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras")
    model = make_model()
    with pytest.raises(RuntimeError, match="raised by another callback"):
        fit(model, [checkpoint, Raises()], epochs=5)
    checkpoint.wait()
    assert names(tmp_path) == ["1.keras", "2.keras"]
    assert keras.models.load_model(tmp_path / "2.keras")
    fit(model, [checkpoint], epochs=3, initial_epoch=2)  # and the callback is still usable
    assert names(tmp_path) == ["1.keras", "2.keras", "3.keras"]


def test_a_subclass_can_override_the_batch_hook_and_call_super(fit, make_model, tmp_path, names):
    class Watching(ModelCheckpoint):
        seen = 0

        def on_train_batch_end(self, batch, logs=None):
            self.seen += 1
            super().on_train_batch_end(batch, logs)

    watching = Watching(tmp_path / "{batch}.keras", save_freq=5)
    fit(make_model(), [watching])
    assert watching.seen == 10
    assert names(tmp_path) == ["10.keras", "5.keras"]


def test_an_unbuilt_model_is_saved_once_training_has_built_it(fit, tmp_path, names):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    fit(model, [ModelCheckpoint(tmp_path / "{epoch}.keras")])
    assert names(tmp_path) == ["1.keras"]


def test_saving_by_epoch_defines_no_batch_hook(tmp_path):
    """Keras calls batch hooks asynchronously only if no callback overrides one."""
    from keras.src.utils import is_default

    assert is_default(ModelCheckpoint(tmp_path / "m.keras").on_train_batch_end)
    assert not is_default(ModelCheckpoint(tmp_path / "m.keras", save_freq=1).on_train_batch_end)
    hooks = [f"on_{mode}_batch_{when}" for mode in ("train", "test", "predict") for when in ("begin", "end")]
    by_epoch = ModelCheckpoint(tmp_path / "m.keras")
    assert all(is_default(getattr(by_epoch, hook)) for hook in [*hooks, "on_batch_begin", "on_batch_end"])

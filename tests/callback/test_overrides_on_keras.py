"""Overridden methods that affect a save: those of the model, which stock Keras calls, and of a callback subclass."""

import warnings
from pathlib import Path

import numpy as np
import pytest

import lastgood
from helpers.kit import TF_KERAS, keras, to_numpy
from lastgood import ModelCheckpoint

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = X[:, :1]
STOCK = keras.callbacks.ModelCheckpoint

pytestmark = [
    pytest.mark.any_backend,
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning"),
]


def net(width, name):
    layers = [keras.Input((4,)), keras.layers.Dense(width, "relu"), keras.layers.Dense(1)]
    return keras.Sequential(layers, name=name)


class Distiller(keras.Model):
    """Saves only its student; stock Keras calls these methods."""

    def __init__(self):
        super().__init__()
        self.student, self.teacher = net(3, "student"), net(32, "teacher")
        self.teacher.trainable = False

    def call(self, inputs):
        return self.student(inputs) + 0 * self.teacher(inputs)

    def save_weights(self, filepath, *args, **kwargs):
        return self.student.save_weights(filepath, *args, **kwargs)

    def save(self, filepath, *args, **kwargs):
        return self.student.save(filepath, *args, **kwargs)


def trained(saver, model=None, epochs=1):
    model = model or Distiller()
    model.compile("adam", "mse")
    model.fit(X, Y, epochs=epochs, verbose=0, callbacks=[saver])
    return model


KINDS = [("m.weights.h5", True), ("m.keras", False), ("m.h5", False)]


@pytest.mark.parametrize(("name", "weights_only"), [*KINDS, *([("ck", True), ("saved", False)] if TF_KERAS else [])])
def test_an_overridden_save_method_of_the_model_determines_the_file_content(tmp_path, name, weights_only):
    model = trained(ModelCheckpoint(tmp_path / name, save_weights_only=weights_only))
    if weights_only:
        student = net(3, "student")
        student.load_weights(tmp_path / name)
    else:
        student = keras.models.load_model(tmp_path / name)
    assert all(map(np.array_equal, student.get_weights(), model.student.get_weights()))
    assert len(student.get_weights()) == 4


def test_a_file_from_an_overridden_save_is_a_checkpoint_of_the_run(tmp_path):
    trained(ModelCheckpoint(tmp_path / "{epoch}.keras", keep_last=2), epochs=3)
    run = lastgood.open_run(tmp_path)
    assert [each.path.name for each in run.checkpoints] == ["2.keras", "3.keras"]
    assert [each.epoch for each in run.checkpoints] == [2, 3]
    assert run.verify() == []


def test_an_overridden_save_that_fails_keeps_the_previous_file(tmp_path):
    class Fails(Distiller):
        broken = False

        def save(self, filepath, *args, **kwargs):
            super().save(filepath, *args, **kwargs)
            if self.broken:
                raise OSError(28, "No space left on device")

    saver, model = ModelCheckpoint(tmp_path / "m.keras", on_error="warn"), Fails()
    trained(saver, model)
    before = (tmp_path / "m.keras").read_bytes()
    model.broken = True
    with pytest.warns(UserWarning, match=r"m\.keras.*No space left on device"):
        trained(saver, model)
    assert (tmp_path / "m.keras").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]


def test_files_that_an_overridden_save_adds_beside_the_checkpoint_are_kept(tmp_path):
    class AddsNotes(Distiller):
        def save(self, filepath, *args, **kwargs):
            super().save(filepath, *args, **kwargs)
            Path(str(filepath).replace(".keras", ".json")).write_text("{}")

    for cls in (STOCK, ModelCheckpoint):
        directory = tmp_path / cls.__module__
        directory.mkdir()
        trained(cls(str(directory / "{epoch}.keras")), AddsNotes())
        assert sorted(path.name for path in directory.iterdir()) == ["1.json", "1.keras"]


def test_an_overridden_save_can_use_another_file_name(tmp_path):
    class Renames(Distiller):
        def save(self, filepath, *args, **kwargs):
            super().save(str(filepath).replace("model", "student"), *args, **kwargs)

    saver = ModelCheckpoint(tmp_path / "model-{epoch}.keras", keep_last=2, verbose=2)
    trained(saver, Renames(), epochs=2)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix) == ["student-1.keras", "student-2.keras"]


def test_an_overridden_save_with_resume_warns_that_a_restart_is_not_exact(tmp_path):
    text, model = "will not be exact: the model has a method of its own that saves it", Distiller()
    with pytest.raises(UserWarning, match=text):  # where warnings are errors, this one prevents the training
        trained(ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True), model)
    assert to_numpy(model.optimizer.iterations) == 0
    with pytest.warns(UserWarning, match=text):
        trained(ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True), model)
    assert (tmp_path / "1.keras").exists()


def test_a_custom_loop_calls_an_overridden_save_weights(tmp_path):
    model = Distiller()
    model.compile("adam", "mse")
    model.train_on_batch(X, Y)
    saver = lastgood.Checkpointer(tmp_path / "{step}.weights.h5")
    saver.save(model, step=1)
    saver.wait()
    student = net(3, "student")
    student.load_weights(tmp_path / "1.weights.h5")
    assert all(map(np.array_equal, student.get_weights(), model.student.get_weights()))


# A subclass of the callback


@pytest.mark.parametrize("kind", [str, Path])
def test_a_subclass_can_choose_the_file_name(tmp_path, kind):
    class Named(ModelCheckpoint):
        def _get_file_path(self, epoch, batch, logs):
            return kind(tmp_path / f"epoch-{epoch}-of-mine.weights.h5")

    trained(Named(tmp_path / "{epoch}.weights.h5", save_weights_only=True), net(3, "n"), epochs=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "epoch-0-of-mine.weights.h5",
        "epoch-1-of-mine.weights.h5",
    ]


@pytest.mark.parametrize("best_only", [False, True])
def test_a_subclass_can_decide_whether_to_save(tmp_path, best_only):
    asked = []

    class Picky(ModelCheckpoint):
        def _should_save_model(self, epoch, batch, logs, filepath):
            asked.append((epoch, batch, sorted(logs), filepath))
            return super()._should_save_model(epoch, batch, logs, filepath) and epoch != 1

    saver = Picky(tmp_path / "{epoch}.weights.h5", monitor="loss", save_weights_only=True, save_best_only=best_only)
    trained(saver, net(3, "n"), epochs=3)
    assert asked == [(n, None, ["loss"], str(tmp_path / f"{n + 1}.weights.h5")) for n in range(3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.weights.h5", "3.weights.h5"]
    assert not best_only or 0 < saver.best < float("inf")


@pytest.mark.parametrize("save_freq", ["epoch", 2])
def test_a_subclass_can_extend_save_model(tmp_path, save_freq):
    found = []

    class Adds(ModelCheckpoint):
        def _save_model(self, epoch, batch, logs):
            super()._save_model(epoch, batch, logs)
            found.append((epoch, batch))

    trained(Adds(tmp_path / "m.weights.h5", save_weights_only=True, save_freq=save_freq), net(3, "n"), epochs=2)
    # 16 rows fit into one batch of 32, so the second batch is that of the second epoch.
    assert found == ([(0, None), (1, None)] if save_freq == "epoch" else [(1, 0)])


def test_a_subclass_can_save_in_an_overridden_hook(tmp_path):
    there = []

    class AtBatches(ModelCheckpoint):
        def on_train_batch_end(self, batch, logs=None):
            self._save_model(epoch=0, batch=batch, logs=logs)
            there.append((tmp_path / f"{batch + 1}.weights.h5").exists())

    saver = AtBatches(tmp_path / "{batch}.weights.h5", save_weights_only=True, save_freq=1000)
    trained(saver, net(3, "n"))
    assert there == [True]


def test_a_subclass_warns_when_created_if_it_overrides_a_method_that_is_not_called(tmp_path):
    class Other(ModelCheckpoint):
        def _should_save_on_batch(self, batch):
            return True

    with pytest.warns(UserWarning, match=r"Other overrides _should_save_on_batch\(\), which lastgood does not call"):
        Other(tmp_path / "m.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        type("Plain", (ModelCheckpoint,), {})(tmp_path / "m.keras")

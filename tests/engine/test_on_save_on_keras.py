"""``on_save``: a user's function that is called with each checkpoint once it is durable."""

import threading
import time

import numpy as np
import pytest

import lastgood
from helpers.kit import keras
from lastgood import ArgumentTypeError, Checkpointer, ModelCheckpoint
from lastgood.testing import Fault, faults

pytestmark = pytest.mark.any_backend

X, Y = np.ones((4, 4), "float32"), np.ones((4, 1), "float32")


def build():
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def in_fit(saver, model, epochs, before=lambda epoch: None):
    around = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: before(epoch + 1))
    model.fit(X, Y, epochs=epochs, verbose=0, callbacks=[saver, around])


def in_a_loop(saver, model, epochs, before=lambda epoch: None):
    with saver:
        for step in range(1, epochs + 1):
            before(step)
            model.train_on_batch(X, Y)
            saver.save(model, step=step, epoch=step)


FACES = [(ModelCheckpoint, in_fit), (Checkpointer, in_a_loop)]
faces = pytest.mark.parametrize(("face", "run"), FACES, ids=["fit", "loop"])


@faces
@pytest.mark.parametrize("background", [True, False, "auto"])
def test_on_save_gets_each_checkpoint_once_complete_and_in_order(tmp_path, face, run, background):
    got = []

    def upload(checkpoint):
        assert isinstance(checkpoint, lastgood.Checkpoint)
        loaded = build()
        loaded.load_weights(checkpoint.path)
        got.append((checkpoint.path.name, checkpoint.epoch, checkpoint.size == checkpoint.path.stat().st_size))

    saver = face(tmp_path / "{epoch}.weights.h5", save_weights_only=True, background=background, on_save=upload)
    run(saver, build(), 3)
    assert got == [(f"{n}.weights.h5", n, True) for n in (1, 2, 3)]


@faces
def test_on_save_runs_in_a_background_thread_that_training_waits_for(tmp_path, face, run):
    threads, reached = [], threading.Event()

    def upload(checkpoint):
        assert reached.wait(5)  # training continues meanwhile
        time.sleep(0.2)
        threads.append(threading.current_thread())

    def before(epoch):
        if epoch == 2:
            assert not threads
            reached.set()

    saver = face(tmp_path / "m.weights.h5", save_weights_only=True, background=True, on_save=upload)
    run(saver, build(), 2, before)
    assert len(threads) == 2
    assert threading.main_thread() not in threads


@faces
def test_on_save_is_not_called_for_a_failed_save(tmp_path, face, run):
    got = []
    with faults(Fault("commit", OSError(28, "No space left on device"), nth=2)):
        saver = face(tmp_path / "{epoch}.weights.h5", save_weights_only=True, on_error="warn", on_save=got.append)
    with pytest.warns(UserWarning, match="No space left"):
        run(saver, build(), 3)
    assert [each.epoch for each in got] == [1, 3]


@faces
@pytest.mark.parametrize("background", [True, False])
def test_an_error_in_on_save_ends_training_or_warns_and_keeps_the_checkpoint(tmp_path, face, run, background):
    def upload(checkpoint):
        raise ConnectionError("the bucket does not answer")

    options = {"save_weights_only": True, "background": background, "on_save": upload}
    with pytest.raises(ConnectionError, match="does not answer") as caught:
        run(face(tmp_path / "a.weights.h5", **options), build(), 2)
    assert any("a.weights.h5" in note for note in caught.value.__notes__)
    with pytest.warns(UserWarning, match=r"on_save failed for the checkpoint '.*b\.weights\.h5', which is saved: Conn"):
        run(face(tmp_path / "b.weights.h5", on_error="warn", **options), build(), 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.weights.h5", "b.weights.h5"]


@faces
def test_on_save_may_use_the_saver_that_calls_it(tmp_path, face, run):
    latest = []

    def upload(checkpoint):
        saver.wait()
        latest.append(saver.run.latest.epoch)

    saver = face(tmp_path / "{epoch}.weights.h5", save_weights_only=True, keep_last=2, on_save=upload)
    run(saver, build(), 3)
    assert latest == [1, 2, 3]


@faces
def test_an_on_save_that_is_not_a_function_raises_a_type_error(tmp_path, face, run):
    with pytest.raises(ArgumentTypeError, match=r"on_save must be a function that takes a lastgood\.Checkpoint"):
        face(tmp_path / "m.keras", on_save="upload")


def test_a_later_callback_waits_for_the_file_but_not_for_on_save(tmp_path):
    """The file is all that such a callback can see."""
    uploaded, seen = [], []

    class Looks(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(((tmp_path / "m.weights.h5").exists(), len(uploaded)))

    def upload(checkpoint):
        time.sleep(0.3)
        uploaded.append(checkpoint)

    saver = ModelCheckpoint(tmp_path / "m.weights.h5", save_weights_only=True, on_save=upload)
    build().fit(X, Y, epochs=1, verbose=0, callbacks=[saver, Looks()])
    assert seen == [(True, 0)]
    assert len(uploaded) == 1

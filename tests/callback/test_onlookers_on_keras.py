"""By default, code that reads the file right after the hook, or in a later hook, finds it complete."""

import shutil
import time
from functools import partial

import numpy as np
import pytest

from helpers.kit import keras
from lastgood import ArgumentError, ModelCheckpoint
from lastgood.testing import Fault, faults

pytestmark = pytest.mark.any_backend

SLOW = 0.3


@pytest.fixture(autouse=True)
def _slow_disk():
    with faults(Fault("commit", lambda: time.sleep(SLOW), nth=None)):
        yield


def checkpoint(directory, **options):
    return ModelCheckpoint(directory / "{epoch}.weights.h5", save_weights_only=True, **options)


class Looks(keras.callbacks.Callback):
    """Checks in one hook that every ended epoch has its file."""

    def __init__(self, directory, ended):
        super().__init__()
        self.directory, self.ended, self.looked, self.missing = directory, ended, 0, []

    def look(self, *_args, **_kwargs):
        self.looked += 1
        self.missing += [n for n in self.ended if not (self.directory / f"{n}.weights.h5").exists()]


EPOCH_HOOKS = ["on_epoch_begin", "on_epoch_end", "on_test_begin", "on_train_end"]
BATCH_HOOKS = ["on_train_batch_begin", "on_train_batch_end", "on_batch_end", "on_test_batch_end"]


@pytest.mark.parametrize("hook", EPOCH_HOOKS + BATCH_HOOKS)
@pytest.mark.parametrize("after", [True, False])
def test_a_custom_callback_finds_every_file_that_was_due_before_its_hook(fit, make_model, tmp_path, hook, after):
    ended = []
    looker = type("Looker", (Looks,), {hook: lambda self, *args, **kwargs: self.look()})(tmp_path, ended)

    class Ends(keras.callbacks.Callback):
        async_safe = True

        def on_epoch_end(self, epoch, logs=None):
            ended.append(epoch + 1)

    saver = checkpoint(tmp_path)
    # In the same hook, a callback before the checkpoint sees the files of the previous epochs.
    chain = [saver, Ends(), looker] if after else [looker, saver, Ends()]
    fit(make_model(), chain, epochs=3, validate=True)
    assert looker.looked >= 1
    assert looker.missing == []


def test_an_uploaded_file_holds_the_weights_of_the_current_epoch(fit, make_model, tmp_path):
    path, wrong = tmp_path / "best.weights.h5", []

    class Upload(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            shutil.copy(path, tmp_path / "up.weights.h5")
            # The clone has no optimizer, which stock Keras would require to be built.
            other = keras.models.clone_model(self.model)
            other.load_weights(tmp_path / "up.weights.h5")
            same = map(np.array_equal, other.get_weights(), self.model.get_weights())
            wrong.extend([] if all(same) else [epoch])

    fit(make_model(), [ModelCheckpoint(path, save_weights_only=True), Upload()], epochs=2)
    assert wrong == []


def test_a_function_in_a_lambda_callback_finds_the_file(fit, make_model, tmp_path):
    found = []
    looks = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: found.append((tmp_path / f"{epoch + 1}.weights.h5").exists())
    )
    fit(make_model(), [checkpoint(tmp_path), looks], epochs=2)
    assert found == [True, True]


def test_a_subclass_finds_the_file_after_the_super_call_in_its_hook(fit, make_model, tmp_path):
    found = []

    class Uploading(ModelCheckpoint):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            found.append((tmp_path / f"{epoch + 1}.weights.h5").exists())

    fit(make_model(), [Uploading(tmp_path / "{epoch}.weights.h5", save_weights_only=True)], epochs=2)
    assert found == [True, True]


def test_hooks_forwarded_by_a_wrapper_finish_their_saves(fit, make_model, tmp_path):
    """The wrapper forwards ``set_model`` and ``on_epoch_end`` only, so ``on_train_end`` is never called."""

    class Later(keras.callbacks.Callback):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def set_model(self, model):
            super().set_model(model)
            self.inner.set_model(model)

        def on_epoch_end(self, epoch, logs=None):
            if epoch >= 1:
                self.inner.on_epoch_end(epoch, logs)

    fit(make_model(), [Later(checkpoint(tmp_path))], epochs=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.weights.h5", "3.weights.h5"]


def test_hooks_called_by_hand_finish_the_save_before_they_return(make_model, data, tmp_path):
    model, saver = make_model(), checkpoint(tmp_path, save_freq=1)
    model.train_on_batch(*data)
    saver.set_model(model)
    saver.on_train_begin()
    saver.on_epoch_begin(0)
    saver.on_train_batch_end(0, {"loss": 1.0})
    assert (tmp_path / "1.weights.h5").exists()


def test_a_callback_list_in_a_custom_loop_finishes_the_save_before_it_returns(make_model, data, tmp_path):
    model = make_model()
    callbacks = keras.callbacks.CallbackList([checkpoint(tmp_path)], model=model, epochs=1, steps=1)
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(0)
    model.train_on_batch(*data)
    callbacks.on_epoch_end(0, {"loss": 1.0})
    assert (tmp_path / "1.weights.h5").exists()
    callbacks.on_train_end()


class Quiet(keras.callbacks.Callback):
    async_safe = True

    def on_epoch_end(self, epoch, logs=None):
        pass


def logger_callback():
    """Return a callback whose hook is defined in the package of a logger."""

    def on_epoch_end(self, epoch, logs=None):
        pass

    on_epoch_end.__module__ = "wandb.integration.keras.callbacks.metrics_logger"
    return type("WandbMetricsLogger", (keras.callbacks.Callback,), {"on_epoch_end": on_epoch_end})()


@pytest.mark.parametrize(
    "others",
    [
        [],
        [partial(keras.callbacks.EarlyStopping, monitor="loss"), keras.callbacks.TerminateOnNaN],
        [Quiet],
        [logger_callback],
    ],
    ids=["none", "of Keras", "async_safe", "logger"],
)
def test_training_does_not_wait_for_saves_if_no_callback_reads_the_file(fit, make_model, tmp_path, others):
    saver, was_there = checkpoint(tmp_path), []

    class Spy(keras.callbacks.Callback):
        async_safe = True

        def on_epoch_end(self, epoch, logs=None):
            was_there.append((tmp_path / f"{epoch + 1}.weights.h5").exists())

    fit(make_model(), [saver, *(make() for make in others), Spy()], epochs=2)
    assert was_there == [False, False]
    assert (tmp_path / "2.weights.h5").exists()


def test_background_decides_whether_training_waits_for_saves(fit, make_model, tmp_path):
    for background in (True, False):
        there, directory = [], tmp_path / str(background)
        looks = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs, at=directory, there=there: there.append(
                (at / f"{epoch + 1}.weights.h5").exists()
            )
        )
        fit(make_model(), [checkpoint(directory, background=background), looks], epochs=2)
        assert there == [not background] * 2
    with pytest.raises(ArgumentError, match=r"Unrecognized background: 'always'. Expected True, False or 'auto'."):
        checkpoint(tmp_path, background="always")


def test_the_reason_why_training_waits_is_printed_once(fit, make_model, tmp_path, capsys):
    class Upload(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            pass

    fit(make_model(), [checkpoint(tmp_path, verbose=1), Upload()], epochs=3)
    text = "training waits for saves, since Upload may look at the file. Pass background=True if it does not"
    assert capsys.readouterr().out.count(text) == 1
    fit(make_model(), [checkpoint(tmp_path, verbose=1)], epochs=1)
    assert "training waits" not in capsys.readouterr().out


def test_fit_leaves_a_callback_list_unchanged_and_usable_for_a_second_fit(fit, make_model, tmp_path):
    """During ``fit``, methods are wrapped only on objects of this fit, never on a class."""
    model, hooks = make_model(), [name for name in dir(keras.callbacks.Callback) if name.startswith("on_")]
    classes, changed = (keras.callbacks.CallbackList, keras.Model, keras.callbacks.Callback), []
    before = [dict(vars(cls)) for cls in classes]

    class Spy(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            changed.extend(cls for cls, old in zip(classes, before, strict=True) if dict(vars(cls)) != old)

    chain = [checkpoint(tmp_path), Spy()]
    callbacks = keras.callbacks.CallbackList(chain, add_history=True, model=model, epochs=2, steps=10, verbose=0)
    for _ in range(2):
        fit(model, callbacks, epochs=2, validate=True)
        assert not [name for name in hooks if name in vars(callbacks)]
        for path in tmp_path.iterdir():
            path.unlink()
    assert changed == []
    if keras.backend.backend() == "torch":
        assert "train_function" in vars(model)
        assert not hasattr(model.train_function, "__wrapped__")

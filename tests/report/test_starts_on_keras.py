"""What each start of a training notes in the journal, in real trainings that are killed and restarted."""

import os
import platform
import signal
import socket
import sys
import textwrap
from datetime import timedelta
from functools import partial

import numpy as np
import pytest

import lastgood
from helpers import children
from helpers.kit import TF_KERAS, keras
from lastgood import Budget, Checkpointer, Epochs, ModelCheckpoint, Schedule, open_run
from lastgood._run.run import story_of

pytestmark = pytest.mark.any_backend

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_KILLED = """
import os, signal, sys
import numpy as np
from helpers.kit import keras
from lastgood import ModelCheckpoint

class Kill(keras.callbacks.Callback):
    async_safe = True

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2 and sys.argv[1] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)

keras.utils.set_random_seed(1)
x = np.ones((8, 4), "float32")
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile(keras.optimizers.SGD(0.25), "mse")
checkpoints = [
    ModelCheckpoint("run/{epoch}.keras", resume=True, keep_last=int(sys.argv[2]), background=False),
    ModelCheckpoint("run/best.keras", "loss", save_best_only=True, resume=True, background=False),
]
model.fit(x, x[:, :1], batch_size=4, epochs=4, verbose=0, callbacks=[Kill(), *checkpoints])
"""


def begins(run):
    return [event for event in run.journal.events() if event["event"] == "begin"]


def checkout(directory):
    (directory / ".git").mkdir()
    (directory / ".git" / "HEAD").write_text(COMMIT)


def test_a_killed_training_and_its_restart_appear_as_two_starts(tmp_path):
    checkout(tmp_path)
    for arguments, status in ((("kill", 3), -signal.SIGKILL), (("end", 2), 0)):
        done = children.run(["-W", "ignore", "-c", textwrap.dedent(_KILLED), *arguments], cwd=tmp_path)
        assert done.returncode == status, done.stderr[-3000:]
    story = story_of(open_run(tmp_path / "run"), "loss")
    killed, ended = story.starts.all  # each with two callbacks
    assert (killed.ending, ended.ending) == ("ended without notice", "ended")
    assert (killed.resumed, ended.resumed) == ("", "2.keras")
    assert sorted(ended.settings) == ["best.keras", "{epoch}.keras"]
    assert killed.process != ended.process
    assert killed.code == ended.code == {"commit": COMMIT}
    assert list(story.starts.changes())[1][1] == ["keep_last ({epoch}.keras): 3 → 2"]
    assert 0 < killed.lasted < 60
    assert story.trained_longer
    assert story.settings["optimizer"] == "SGD"
    assert story.settings["optimizer learning rate"] == "0.25"
    assert (story.settings["epochs"], story.settings["batches"], story.settings["parameters"]) == ("4", "2", "5")
    assert list(story.elapsed) == [2, 4, 6, 8]
    assert list(story.elapsed.values()) == sorted(story.elapsed.values())


def test_a_start_notes_host_process_commit_and_versions(make_model, fit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkout(tmp_path)
    checkpoint = ModelCheckpoint("run/{epoch}.keras", resume=True)
    fit(make_model(), [checkpoint])
    (begun,) = begins(checkpoint.run)
    backend = keras.backend.backend()
    assert (begun["host"], begun["process"]) == (socket.gethostname(), os.getpid())
    assert begun["code"] == {"commit": COMMIT}
    environment = begun["environment"]
    assert environment["python"] == platform.python_version()
    assert environment["tf_keras" if TF_KERAS else "keras"] == keras.__version__
    assert (environment["backend"], environment[backend]) == (backend, sys.modules[backend].__version__)
    assert begun["training"]["optimizer"] == "Adam"


class Own(Schedule):
    def due(self, moment):
        return moment.hook == "epoch"


class Keep:
    def should_keep(self, records, context):
        return [True] * len(records)

    def __repr__(self):
        raise AssertionError("the user's __repr__ must not be called")


@pytest.mark.parametrize(
    ("save_freq", "told"),
    [
        ("epoch", "epoch"),
        (5, 5),
        (np.int64(5), 5.0),
        (timedelta(minutes=5), "0:05:00"),
        (Epochs(2), "Epochs(2)"),
        (Budget(0.02), "Budget(overhead=0.02)"),
        (Own(), "Own"),
    ],
)
def test_settings_in_the_journal_are_plain_values(make_model, fit, tmp_path, save_freq, told):
    checkpoint = ModelCheckpoint(
        tmp_path / "{epoch}.keras",
        monitor="loss",
        save_freq=save_freq,
        initial_value_threshold=np.float32("inf"),
        keep=Keep(),
        keep_every=timedelta(hours=1),
        resume=True,
        signals=["SIGUSR1"],
        on_save=partial(print, "a password"),
    )
    fit(make_model(), [checkpoint])
    (begun,) = begins(checkpoint.run)
    assert begun["settings"] == {
        "filepath": str(tmp_path / "{epoch}.keras"),
        "format": "keras",
        "monitor": "loss",
        "mode": "auto",
        "save_weights_only": False,
        "save_best_only": False,
        "save_freq": told,
        "initial_value_threshold": "Infinity",
        "background": "auto",
        "keep": "Keep",
        "keep_every": "1:00:00",
        "save_last": False,
        "resume": True,
        "signals": "SIGUSR1",
        "on_error": "raise",
        "on_save": "partial",
        "verbose": 0,
    }


def upload(checkpoint):
    pass


def test_a_checkpointer_notes_its_settings_too(make_model, tmp_path):
    with Checkpointer(tmp_path / "{step}.weights.h5", keep_last=2, on_save=upload) as saver:
        saver.save(make_model(), step=1, metrics={"loss": 1.0})
    (begun,) = begins(saver.run)
    assert begun["settings"]["keep_last"] == 2
    assert begun["settings"]["on_save"] == "upload"
    assert "save_freq" not in begun["settings"]


def test_the_journal_has_no_environment_variables_arguments_or_remotes(make_model, fit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    secrets = ["6f1c0e2d-key", "6f1c0e2d-argument", "6f1c0e2d-remote"]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secrets[0])
    monkeypatch.setattr(sys, "argv", ["train.py", f"--token={secrets[1]}"])
    checkout(tmp_path)
    (tmp_path / ".git" / "config").write_text(f'[remote "origin"]\nurl = https://me:{secrets[2]}@example.com/x\n')
    fit(make_model(), [ModelCheckpoint("run/{epoch}.keras", resume=True)])
    written = (tmp_path / "run" / ".lastgood" / "journal.jsonl").read_text()
    assert [secret for secret in secrets if secret in written] == []
    with pytest.raises(lastgood.ArgumentError, match="has a user or a key in it"):
        ModelCheckpoint("s3://me:secret@bucket/{epoch}.keras")


def test_an_optimizer_without_a_readable_learning_rate_does_not_stop_training(data, tmp_path):
    class Odd(keras.optimizers.SGD):
        asked = False

        @property
        def learning_rate(self):
            if Odd.asked:
                raise RuntimeError("no learning rate")
            return super().learning_rate

    x, y = data
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(Odd(0.1), "mse")
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True)

    class Ask(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            Odd.asked = True

        def on_epoch_begin(self, epoch, logs=None):
            Odd.asked = False

    model.fit(x, y, verbose=0, callbacks=[checkpoint, Ask()])
    (begun,) = begins(checkpoint.run)
    assert begun["training"]["optimizer"] == "Odd"
    assert "optimizer learning rate" not in begun["training"]


@pytest.mark.skipif(TF_KERAS, reason="metrics of tf_keras have no direction")
@pytest.mark.parametrize("asked", [{"save_best_only": True}, {"keep_best": 1}])
def test_saves_note_the_direction_of_the_monitored_metric(data, tmp_path, asked):
    x, y = data
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=[keras.metrics.AUC(name="auc")])
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", "auc", resume=True, **asked)
    model.fit(x, y, verbose=0, callbacks=[checkpoint])
    story = story_of(checkpoint.run)
    assert (story.monitor, story.mode) == ("auc", "max")
    assert story.best is not None


def test_with_default_options_no_journal_is_written(make_model, fit, tmp_path, names):
    fit(make_model(), [ModelCheckpoint(tmp_path / "{epoch}.keras")])
    assert names(tmp_path) == ["1.keras"]

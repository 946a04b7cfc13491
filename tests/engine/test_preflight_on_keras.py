"""Problems that are reported before the first epoch rather than after it."""

import errno
import os
import signal
import stat
import subprocess
import textwrap
from pathlib import Path

import numpy as np
import pytest

from helpers import children
from helpers.kit import keras
from lastgood import ModelCheckpoint, SaveError
from lastgood._storage import LOCAL

pytestmark = pytest.mark.any_backend


class Begun(keras.callbacks.Callback):
    """Notes whether an epoch began, and the texts of the warnings that were caught before it."""

    begun = False

    def __init__(self, caught=()):
        super().__init__()
        self.caught, self.before = caught, []

    def on_epoch_begin(self, epoch, logs=None):
        self.begun = True
        self.before = [str(each.message) for each in self.caught]


def test_a_directory_that_cannot_be_created_stops_training_before_the_first_epoch(fit, make_model, tmp_path):
    (tmp_path / "file").write_text("")
    begun = Begun()
    with pytest.raises(SaveError, match="A part of that path is a file, not a directory") as caught:
        fit(make_model(), [ModelCheckpoint(tmp_path / "file" / "sub" / "{epoch}.keras"), begun])
    assert not begun.begun
    assert str(tmp_path / "file" / "sub") in str(caught.value)


def test_an_error_about_a_path_that_cannot_exist_says_what_to_do(fit, make_model):
    if not Path("/proc/self").exists():
        pytest.skip("this system has no /proc")
    with pytest.raises(SaveError, match=r"'/proc/nowhere': .*Check that path, or save elsewhere"):
        fit(make_model(), [ModelCheckpoint("/proc/nowhere/{epoch}.keras")])


def test_a_read_only_file_system_stops_training_before_the_first_epoch(fit, make_model, tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", tmp_path]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a read-only file system is mounted for this, and that needs root")
    begun = Begun()
    try:
        with pytest.raises(OSError, match=r"Read-only file system\. That .* is read-only: save elsewhere"):
            fit(make_model(), [ModelCheckpoint(tmp_path / "runs" / "{epoch}.keras"), begun])
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert not begun.begun


@pytest.mark.parametrize(
    ("monitor", "hint"),
    [
        ("val_accurracy", "Did you mean 'val_accuracy'?"),
        ("val_acuracy", "Did you mean 'val_accuracy'?"),
        ("acuracy", "Did you mean 'accuracy'?"),
        ("val_los", "Did you mean 'val_loss'?"),
    ],
)
def test_a_monitor_that_will_not_be_logged_warns_with_the_choices(fit, make_model, tmp_path, monitor, hint):
    checkpoint = ModelCheckpoint(tmp_path / "m.keras", monitor, save_best_only=True, mode="max")
    with pytest.warns(UserWarning, match=monitor) as caught:
        fit(make_model(), [checkpoint, begun := Begun(caught)])
    first = begun.before[0]
    assert f"uses '{monitor}', which this model will not log. {hint}" in first
    assert "It logs: accuracy, loss, val_accuracy, val_loss" in first


@pytest.mark.parametrize("monitor", ["val_loss", "loss", "accuracy", "val_accuracy", "learning_rate"])
def test_a_monitor_that_may_be_logged_does_not_warn(make_model, tmp_path, monitor):
    model = make_model()
    model.fit(np.ones((4, 4)), np.ones((4, 1)), verbose=0)
    checkpoint = ModelCheckpoint(tmp_path / "m.keras", monitor, save_best_only=True)
    checkpoint.set_model(model)
    checkpoint.on_train_begin()


def test_a_placeholder_that_will_not_be_logged_warns_before_it_fails(fit, make_model, tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}-{val_acc:.2f}.keras")
    with pytest.warns(UserWarning, match="uses 'val_acc', .* Did you mean 'val_accuracy'"), pytest.raises(KeyError):
        fit(make_model(), [checkpoint], validate=True)


def test_a_nearly_full_disk_warns(fit, small_disk):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(40_000), keras.layers.Dense(1)])
    model.compile("sgd", "mse")  # 240,001 weights of 4 bytes
    checkpoint = ModelCheckpoint(small_disk / "m.weights.h5", "loss", save_weights_only=True, save_best_only=True)
    checkpoint.best = -1.0
    with pytest.warns(UserWarning, match=r"Only 1\.0 MB are free .* each takes about 1\.0 MB"):
        fit(model, [checkpoint])


def test_a_file_system_without_directory_fsync_warns_once_before_training(fit, make_model, tmp_path, monkeypatch):
    """As on a mounted drive that does not support fsync of a directory."""
    fsync = os.fsync

    def refuse_directories(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_directories)
    monkeypatch.setattr(LOCAL, "_limits", {})  # forget what was found out about this file system
    checkpoints = [ModelCheckpoint(tmp_path / "run" / f"{{epoch}}-{i}.keras", resume=True) for i in range(2)]
    with pytest.warns(UserWarning, match="less safely") as caught:
        fit(make_model(), [*checkpoints, begun := Begun(caught)])
    (said,) = [str(each.message) for each in caught if "less safely" in str(each.message)]
    assert said in begun.before
    assert str(tmp_path / "run") in said
    assert "It has no fsync of directories, so a power cut may undo the last saves." in said
    assert checkpoints[0].run.verify() == []
    assert len(checkpoints[0].run.checkpoints) == 2


def test_a_symbolic_link_at_the_filepath_warns_that_it_is_replaced(fit, make_model, tmp_path):
    (tmp_path / "link.keras").symlink_to(tmp_path / "elsewhere.keras")
    with pytest.warns(UserWarning, match=r"link\.keras' is a symbolic link\. A save replaces the link"):
        fit(make_model(), [ModelCheckpoint(tmp_path / "link.keras")])
    assert (tmp_path / "link.keras").is_file()
    assert not (tmp_path / "link.keras").is_symlink()


_KILLED = """
    import os, signal, sys
    import keras, numpy as np
    import lastgood._storage.placing as placing
    from lastgood import ModelCheckpoint
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    placing.sync_file = lambda path: os.kill(os.getpid(), signal.SIGKILL)
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[ModelCheckpoint(sys.argv[1])])
"""


def test_leftovers_of_a_killed_training_are_gone_at_the_next_start(fit, make_model, tmp_path, names):
    target = tmp_path / "{epoch}" / "m.keras"
    assert children.run(["-W", "ignore", "-c", textwrap.dedent(_KILLED), target]).returncode == -signal.SIGKILL
    left = names(tmp_path / "1")
    assert len(left) == 2
    assert all(name.startswith(".lastgood-tmp-") for name in left)
    fit(make_model(), [ModelCheckpoint(target)])
    assert names(tmp_path / "1") == ["m.keras"]


def test_a_url_that_cannot_be_saved_to_is_refused_at_once():
    with pytest.raises(ValueError, match="is a URL, and there is no storage for its scheme"):
        ModelCheckpoint("hdfs://host/{epoch}.keras")
    with pytest.raises(ValueError, match="names no bucket"):
        ModelCheckpoint("gs:///{epoch}.keras")


def test_the_error_of_a_model_that_cannot_be_saved_names_the_checkpoint(fit, tmp_path):
    class NoConfig(keras.Model):
        def __init__(self, required):
            super().__init__()
            self.dense = keras.layers.Dense(required)

        def call(self, x):
            return self.dense(x)

        def get_config(self):
            raise NotImplementedError("no config")

    model = NoConfig(1)
    model.compile("sgd", "mse")
    target = tmp_path / "m.keras"
    target.write_text("old")
    with pytest.raises(NotImplementedError, match="no config") as caught:
        fit(model, [ModelCheckpoint(target)])
    assert str(target) in caught.value.__notes__[0]
    assert target.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1

"""What ModelCheckpoint guarantees in fit(), Checkpointer guarantees in a custom loop: the same tests for both."""

import errno
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from helpers.claiming import another_process_claims, is_claimed
from helpers.kit import TF_KERAS, keras
from lastgood import (
    ArgumentError,
    ArgumentTypeError,
    Checkpointer,
    ModelCheckpoint,
    RunInUseError,
    SaveError,
    TargetIsDirectoryError,
)
from lastgood._run import keeper
from lastgood.testing import Fault, faults

X, Y = np.ones((4, 4), "float32"), np.ones((4, 1), "float32")
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
BETTER = (3.0, 1.0, 2.0)  # what "odd" is in the first three epochs

# tf_keras writes TensorFlow's formats to any other ending, and also writes weights to ".keras".
ONLY_WRONG_FOR_KERAS_3 = [
    ("m.pt", False, "for which Keras has no format"),
    ("m.keras", True, "holds a whole model"),
] * (not TF_KERAS)

pytestmark = [
    pytest.mark.any_backend,
    pytest.mark.filterwarnings("ignore:ModelCheckpoint uses '"),  # a loop does not declare what it will log
]


def build(width=3):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(width), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


class Training:
    """Trains one step per epoch, so that epochs and steps have the same numbers.

    Attributes:
        steps: The number of steps trained so far.
    """

    kind: type
    unit: str

    def __init__(self):
        self.steps = 0

    def make(self, path, **options):
        """Return a ModelCheckpoint or Checkpointer whose checkpoints a restarted training does not resume from."""
        return self.kind(path, **options)

    def before(self, epoch):
        """Do something before each epoch; epochs are counted from 1."""

    def run(self, saver, model=None, values=BETTER, name="odd"):
        raise NotImplementedError


class InFit(Training):
    kind, unit = ModelCheckpoint, "Epoch"

    def make_continuing(self, path, **options):
        return ModelCheckpoint(path, resume=True, **options)

    def run(self, saver, model=None, values=BETTER, name="odd"):
        outer = self

        class Around(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                outer.before(epoch + 1)

            def on_train_batch_end(self, batch, logs=None):
                outer.steps += 1

            def on_epoch_end(self, epoch, logs=None):
                logs[name] = values[epoch]

        model = model or build()
        model.fit(X, Y, batch_size=4, epochs=len(values), verbose=0, callbacks=[Around(), saver])


class InLoop(Training):
    kind, unit = Checkpointer, "Step"

    def __init__(self):
        super().__init__()
        self._continuing = []

    def make_continuing(self, path, **options):
        self._continuing.append(Checkpointer(path, **options))
        return self._continuing[-1]

    def run(self, saver, model=None, values=BETTER, name="odd"):
        model = model or build()
        with saver:
            progress = saver.restore(model) if saver in self._continuing else None
            for epoch in range(progress.epoch + 1 if progress else 1, len(values) + 1):
                self.before(epoch)
                loss = float(np.ravel(model.train_on_batch(X, Y))[0])
                self.steps += 1
                saver.save(model, step=epoch, epoch=epoch, metrics={"loss": loss, name: values[epoch - 1]})


@pytest.fixture(params=[InFit, InLoop], ids=["fit", "loop"])
def training(request):
    return request.param()


@contextmanager
def recorded_warnings():
    """Yield a list that holds the texts of all warnings once the block has ended."""
    texts = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    texts += [str(each.message) for each in caught]


def checkpoints(directory):
    return sorted(path.name for path in directory.iterdir() if path.name != ".lastgood")


# At construction


def test_a_url_with_an_unsupported_scheme_is_refused_at_construction(training):
    with pytest.raises(ArgumentError, match=r"'hdfs://host/\{epoch\}\.keras' is a URL, and there is no storage"):
        training.make("hdfs://host/{epoch}.keras")


@pytest.mark.parametrize("path", [None, 3, b"m.keras", ["m.keras"]])
def test_a_filepath_that_is_not_a_path_raises_a_type_error(training, path):
    with pytest.raises(ArgumentTypeError, match=r"filepath must be a str or os\.PathLike"):
        training.make(path)


@pytest.mark.parametrize(
    ("name", "weights_only", "text"),
    [
        ("m.kears", False, "Did you mean '.keras'"),
        ("m.weights.h5", False, "holds weights only"),
        ("{epoch.keras", False, "not a valid template"),
        ("", False, "filepath is empty"),
        *ONLY_WRONG_FOR_KERAS_3,
    ],
)
def test_an_invalid_filepath_is_refused_with_the_reason(training, name, weights_only, text):
    with pytest.raises(ArgumentError, match=text):
        training.make(name, save_weights_only=weights_only)


def test_an_unknown_mode_warns_and_the_metric_name_decides_the_direction(training, tmp_path):
    wanted = f"{training.kind.__name__} mode 'best' is unknown, fallback to auto mode"
    with pytest.warns(UserWarning, match=wanted):
        saver = training.make(tmp_path / "{epoch}.keras", monitor="accuracy", mode="best", keep_best=1)
    training.run(saver, values=(0.9, 0.2, 0.1), name="accuracy")
    assert checkpoints(tmp_path) == ["1.keras", "3.keras"]  # the highest accuracy, and the latest


@pytest.mark.parametrize(
    "options",
    [
        {"keep_last": 0},
        {"keep_last": True},
        {"keep_best": -1},
        {"keep_best": 1.5},
        {"keep_every": 0},
        {"keep_every": "day"},
        {"keep": "all"},
        {"on_error": "ignore"},
    ],
    ids=str,
)
def test_an_invalid_argument_is_refused_by_name(training, tmp_path, options):
    with pytest.raises(ArgumentError, match=f"{next(iter(options))}[: ]"):
        training.make(tmp_path / "{epoch}.keras", **options)


# When training begins


def test_a_directory_that_cannot_be_created_ends_training_before_the_first_step(training, tmp_path):
    (tmp_path / "file").write_text("")
    saver = training.make_continuing(tmp_path / "file/sub/{epoch}.keras")
    with pytest.raises(SaveError, match="A part of that path is a file, not a directory"):
        training.run(saver)
    assert training.steps == 0


def test_a_read_only_directory_ends_training_before_the_first_step(training, tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", tmp_path]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a read-only file system is mounted for this, and that needs root")
    try:
        with pytest.raises(SaveError, match=r"Read-only file system\. That .* is read-only: save elsewhere"):
            training.run(training.make_continuing(tmp_path / "{epoch}.keras"))
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert training.steps == 0


def test_a_directory_of_other_files_at_the_path_is_not_replaced(training, tmp_path):
    target = tmp_path / "m.keras"
    target.mkdir()
    (target / "thesis.tex").write_text("")
    with pytest.raises(TargetIsDirectoryError, match="specify a non-directory filepath"):
        training.run(training.make_continuing(target))
    assert training.steps == 0
    assert checkpoints(target) == ["thesis.tex"]


def test_a_directory_of_other_files_that_appears_during_training_is_not_replaced(training, tmp_path):
    def make_directory(epoch):
        if epoch == 2:
            (tmp_path / "2.keras/thesis").mkdir(parents=True)

    training.before = make_directory
    with pytest.raises(TargetIsDirectoryError):
        training.run(training.make(tmp_path / "{epoch}.keras"))
    assert checkpoints(tmp_path / "2.keras") == ["thesis"]


@pytest.fixture
def claimed(tmp_path):
    """Have another process claim the files of a template; yield the template and how messages name the process."""
    with another_process_claims(tmp_path, "{epoch}.keras") as (process, refused):
        assert not refused
        yield tmp_path / "{epoch}.keras", f"process {process.pid} on this machine"


def test_files_of_another_process_are_not_deleted(training, claimed):
    path, owner = claimed
    with recorded_warnings():
        training.run(training.make(path))  # saves what the other process would have saved
    contents = {each: each.read_bytes() for each in path.parent.glob("*.keras")}
    assert len(contents) == training.steps == 3
    with pytest.raises(RunInUseError, match=rf"Another training saves to '.*': {owner}\. Wait until it has ended"):
        training.run(training.make(path, keep_last=1))
    assert {each: each.read_bytes() for each in path.parent.glob("*.keras")} == contents
    assert training.steps == 3 + (training.kind is Checkpointer)  # a loop without restore() begins with its first save


def test_training_does_not_resume_from_files_of_another_process(training, claimed):
    path, owner = claimed
    with pytest.raises(RunInUseError, match=owner):
        training.run(training.make_continuing(path))
    assert training.steps == 0


def test_files_of_another_process_only_cause_a_warning_without_pruning_and_resume(training, claimed):
    path, owner = claimed
    with recorded_warnings() as texts:
        training.run(training.make(path))
    assert sum(f"{owner}. Each will overwrite checkpoints of the other." in text for text in texts) == 1
    assert checkpoints(path.parent) == ["1.keras", "2.keras", "3.keras"]


def test_another_process_can_claim_the_files_after_training_has_ended(training, tmp_path):
    training.run(training.make_continuing(tmp_path / "{epoch}.keras", keep_last=1))
    assert not is_claimed(tmp_path, "{epoch}.keras")


_KILLED = """
    import os, signal, sys
    from pathlib import Path
    from lastgood._storage import LOCAL
    with LOCAL.stage(Path(sys.argv[1]), ".keras") as stage:
        stage.write("", b"half")
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("template", ["{epoch}.keras", "{epoch}/m.keras"])
def test_leftovers_of_a_killed_process_are_gone_when_training_begins(training, tmp_path, template):
    left = (tmp_path / template.format(epoch=1)).parent
    command = [sys.executable, "-c", textwrap.dedent(_KILLED), str(tmp_path / template.format(epoch=1))]
    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL
    assert len(list(left.glob(".lastgood-tmp-*"))) == 2
    seen = []
    training.before = lambda epoch: seen.append(list(left.glob(".lastgood-tmp-*")))
    training.run(training.make_continuing(tmp_path / template), values=BETTER[:1])
    assert seen == [[]]


def test_a_nearly_full_disk_warns_once(training, small_disk):
    filler = small_disk / "filler"
    filler.write_bytes(bytes(990_000))
    saver = training.make(small_disk / "{epoch}.weights.h5", save_weights_only=True, on_error="warn")
    with recorded_warnings() as texts:
        training.run(saver, build(width=20_000), values=BETTER[:1])
    assert sum(bool(re.search(r"Only 0\.\d MB are free .* each takes about \d\.\d MB", text)) for text in texts) == 1


# Retention


def test_a_guessed_direction_warns_once(training, tmp_path):
    saver = training.make(tmp_path / "{epoch}.keras", monitor="odd", keep_best=1)
    with recorded_warnings() as texts:
        training.run(saver)
    wanted = f"{training.kind.__name__} assumes that a lower 'odd' is better, since nothing says otherwise. Pass mode="
    assert sum(text.startswith(wanted) for text in texts) == 1
    assert checkpoints(tmp_path) == ["2.keras", "3.keras"]


def test_a_monitor_that_ranks_nothing_needs_no_direction(training, tmp_path):
    with recorded_warnings() as texts:
        training.run(training.make(tmp_path / "{epoch}.keras", monitor="odd"))
    assert not [text for text in texts if "assumes that a lower" in text]


def test_the_latest_best_and_pinned_checkpoints_are_kept(training, tmp_path):
    saver = training.make(tmp_path / "{epoch}.keras", monitor="odd", mode="min", keep_last=1, keep_best=1)

    def pin(epoch):
        if epoch == 2:
            saver.wait()
            saver.run.pin(saver.run.latest)

    training.before = pin
    training.run(saver, values=(5.0, 4.0, 1.0, 3.0, 2.0))
    assert checkpoints(tmp_path) == ["1.keras", "3.keras", "5.keras"]
    assert [each.pinned for each in saver.run.checkpoints] == [True, False, False]
    assert saver.run.best("odd", "min").epoch == 3


def test_retention_counts_checkpoints_saved_before_a_restart(training, tmp_path):
    options = {"monitor": "odd", "mode": "min", "keep_last": 2, "keep_best": 1}
    training.run(training.make_continuing(tmp_path / "{epoch}.keras", **options), values=(1.0, 2.0, 3.0))
    assert checkpoints(tmp_path) == ["1.keras", "2.keras", "3.keras"]
    training.run(training.make_continuing(tmp_path / "{epoch}.keras", **options), values=(1.0, 2.0, 3.0, 4.0, 5.0))
    assert checkpoints(tmp_path) == ["1.keras", "4.keras", "5.keras"]
    assert training.steps == 5


def test_no_deletion_is_pending_after_wait(training, tmp_path, monkeypatch):
    """After listing very many checkpoints, retention skips some saves."""
    monkeypatch.setattr(keeper, "_LONG_LOOK", -1.0)
    monkeypatch.setattr(keeper, "_REST", 1e12)
    saver = training.make(tmp_path / "{epoch}.keras", monitor="odd", mode="min", keep_last=1)
    seen = []

    def look(epoch):
        if epoch in (3, 5):
            saver.wait()
            seen.append(checkpoints(tmp_path))

    training.before = look
    training.run(saver, values=(1.0, 2.0, 3.0, 4.0, 5.0))
    assert seen == [["1.keras", "2.keras"], ["1.keras", "4.keras"]]
    assert checkpoints(tmp_path) == ["1.keras", "5.keras"]


# Failures


def test_a_failed_save_only_loses_that_checkpoint_with_on_error_warn(training, tmp_path):
    with faults(Fault("commit", FULL, nth=2)):
        saver = training.make(tmp_path / "{epoch}.keras", on_error="warn")
    with recorded_warnings() as texts:
        training.run(saver)
    failures = [text for text in texts if "the next save tries again" in text]
    assert len(failures) == 1
    assert failures[0].startswith(f"{training.unit} 2: ")
    assert "No space left on device" in failures[0]
    assert str(tmp_path / "2.keras") in failures[0]
    assert checkpoints(tmp_path) == ["1.keras", "3.keras"]
    assert [Path(save.path).name for save in saver.stats] == ["1.keras", "3.keras"]
    assert training.steps == 3


def test_a_save_that_cannot_start_only_loses_that_checkpoint_with_on_error_warn(training, tmp_path):
    def make_directory(epoch):
        if epoch == 2:
            (tmp_path / "2.keras/thesis").mkdir(parents=True)

    training.before = make_directory
    with recorded_warnings() as texts:
        training.run(training.make(tmp_path / "{epoch}.keras", on_error="warn"))
    failures = [text for text in texts if "the next save tries again" in text]
    assert len(failures) == 1
    assert failures[0].startswith(f"{training.unit} 2: ")
    assert checkpoints(tmp_path) == ["1.keras", "2.keras", "3.keras"]


def test_a_save_that_fails_ends_training(training, tmp_path):
    with faults(Fault("commit", FULL, nth=2)):
        saver = training.make(tmp_path / "{epoch}.keras")
    with pytest.raises(SaveError, match=r"2\.keras': No space left on device"):
        training.run(saver, values=(1.0,) * 6)
    assert training.steps < 6


def test_wait_raises_the_error_of_a_failed_save(training, tmp_path):
    """Even with on_error="warn": the caller of wait() relies on the save."""
    waited_for = threading.Event()

    def fail():
        assert waited_for.wait(60)  # otherwise a hook might report it first
        raise FULL

    with faults(Fault("commit", fail, nth=1)):
        saver = training.make(tmp_path / "{epoch}.keras", on_error="warn", background=True)
    heard = []

    def wait(epoch):
        if epoch == 2:
            waited_for.set()
            with pytest.raises(SaveError, match=r"1\.keras': No space left"):
                saver.wait()
            heard.append(epoch)

    training.before = wait
    training.run(saver)
    assert heard == [2]
    assert checkpoints(tmp_path) == ["2.keras", "3.keras"]


# What users can inspect


def test_the_journal_records_begin_save_and_end_events(training, tmp_path):
    for count in (2, 3):
        saver = training.make_continuing(tmp_path / "{epoch}.keras")
        training.run(saver, values=BETTER[:count])
    events = [event for event in saver.run.journal.events() if event["event"] in ("begin", "save", "end")]
    assert [event["event"] for event in events] == ["begin", "save", "save", "end", "begin", "save", "end"]
    assert len({event["run"] for event in events}) == 1  # the second start continued the run of the first
    assert {event["template"] for event in events} == {"{epoch}.keras"}
    begun, again = (event for event in events if event["event"] == "begin")
    assert (begun["resumed"], again["resumed"]) == (None, str(tmp_path / "2.keras"))
    assert begun["environment"]["backend"] == keras.backend.backend()
    saves = [event for event in events if event["event"] == "save"]
    assert [(each["path"], each["step"], each["epoch"]) for each in saves] == [(f"{i}.keras", i, i) for i in (1, 2, 3)]
    assert [each["metrics"]["odd"] for each in saves] == list(BETTER)
    assert all(each["costs"]["size"] > 0 for each in saves)
    assert [event["stopped"] for event in events if event["event"] == "end"] == [False, False]


def test_the_journal_records_no_end_event_after_an_exception(training, tmp_path):
    def fail(epoch):
        if epoch == 3:
            raise ZeroDivisionError

    training.before = fail
    saver = training.make_continuing(tmp_path / "{epoch}.keras")
    with pytest.raises(ZeroDivisionError):
        training.run(saver)
    saver.wait()
    events = [event["event"] for event in saver.run.journal.events() if event["event"] in ("begin", "save", "end")]
    assert events == ["begin", "save", "save"]


def test_a_directory_holds_only_checkpoints_by_default(training, tmp_path):
    training.run(training.make(tmp_path / "{epoch}.keras"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.keras", "2.keras", "3.keras"]


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_fit_and_loop_print_the_same_lines_apart_from_the_unit(training, tmp_path, capsys, verbose):
    saver = training.make(tmp_path / "{epoch}.keras", verbose=verbose, background=False)
    training.run(saver, values=BETTER[:2])
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    costs = [f": {save}" if verbose == 2 else "" for save in saver.stats]
    expected = [
        line
        for number, cost in enumerate(costs, 1)
        for line in (
            f"{training.unit} {number}: saving model to {tmp_path / f'{number}.keras'}",
            f"{training.unit} {number}: finished saving model to {tmp_path / f'{number}.keras'}{cost}",
        )
    ]
    assert lines == (expected if verbose else [])


def test_stats_report_the_costs_of_each_save(training, tmp_path):
    saver = training.make(tmp_path / "{epoch}.keras")
    assert saver.stats == []
    training.run(saver)
    assert [save.path for save in saver.stats] == [str(tmp_path / f"{epoch}.keras") for epoch in (1, 2, 3)]
    for save in saver.stats:
        assert save.size == Path(save.path).stat().st_size
        assert min(save.snapshot, save.write, save.fsync) > 0
        assert save.wait >= 0


def test_the_run_is_readable_during_training(training, tmp_path):
    saver = training.make(tmp_path / "sub/{epoch}.keras")
    seen = []

    def look(epoch):
        saver.wait()
        seen.append([each.step for each in saver.run.checkpoints])

    training.before = look
    assert saver.run.directory == tmp_path / "sub"
    training.run(saver)
    assert seen == [[], [1], [1, 2]]


def test_wait_returns_when_saves_are_durable(training, tmp_path):
    with faults(Fault("commit", lambda: time.sleep(0.2), nth=None)):
        saver = training.make(tmp_path / "{epoch}.keras")
    seen = []

    def look(epoch):
        saver.wait()
        seen.append((len(checkpoints(tmp_path)), len(saver.stats)))

    training.before = look
    training.run(saver)
    assert seen == [(0, 0), (1, 1), (2, 2)]


def test_a_saver_can_be_reused_for_a_second_training(training, tmp_path):
    saver = training.make(tmp_path / "{epoch}.keras", keep_last=2)
    training.run(saver, values=BETTER[:2])
    training.run(saver)
    assert [each.epoch for each in saver.run.checkpoints] == [2, 3]
    assert len(saver.stats) == 5

"""SIGTERM and SIGINT during training."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from helpers import children
from helpers.crashing import CrashAt, build, crash
from lastgood import ArgumentError, ArgumentTypeError, Checkpointer, ModelCheckpoint

ROOT = Path(__file__).parents[2]

SCRIPT = """
    import os, signal, sys, time
    import keras, numpy as np
    import lastgood

    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    y = (x.sum(axis=1, keepdims=True) > 0).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])

    class Send(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if WHERE == "training" and self.model.optimizer.iterations == 14:
                os.kill(os.getpid(), NUMBER)
        def on_test_batch_begin(self, batch, logs=None):
            if WHERE == "validation" and batch == 3 and self.model.optimizer.iterations == 20:
                os.kill(os.getpid(), NUMBER)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have set it to be ignored
    WHERE, NUMBER = sys.argv[1], int(sys.argv[2])
    signals = sys.argv[4:] or None
    checkpoint = lastgood.ModelCheckpoint("{epoch}-{val_loss:.3f}.keras", resume=True, signals=signals)
    history = model.fit(x, y, validation_data=(x, y), batch_size=4, epochs=3, verbose=0, callbacks=[checkpoint, Send()])
    np.savez(sys.argv[3], *model.get_weights(), losses=np.array(history.history["loss"] + history.history["val_loss"]))
"""


def run(directory, *arguments):
    """Train in a separate process."""
    return children.run(["-c", textwrap.dedent(SCRIPT), *arguments], cwd=directory)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the results of a training that no signal interrupted."""
    directory = tmp_path_factory.mktemp("whole")
    done = run(directory, "nowhere", 0, "whole.npz")
    assert done.returncode == 0, done.stderr
    with np.load(directory / "whole.npz") as file:
        return dict(file)


@pytest.mark.parametrize(
    ("where", "number", "done"),
    [
        ("training", signal.SIGTERM, "epoch 2, batch 5 of 10"),
        ("training", signal.SIGINT, "epoch 2, batch 5 of 10"),
        ("validation", signal.SIGTERM, "epoch 2, batch 10 of 10"),
    ],
)
def test_a_signal_is_delivered_after_the_training_that_it_interrupts_is_saved(tmp_path, whole, where, number, done):
    stopped = run(tmp_path, where, int(number), "no.npz")
    if number == signal.SIGTERM:
        assert stopped.returncode == -signal.SIGTERM, stopped.stderr
    else:
        assert "KeyboardInterrupt" in stopped.stderr
    interrupted = tmp_path / "interrupted-epoch-val_loss.keras"
    assert interrupted.exists()
    assert f"{signal.Signals(number).name}: saved {interrupted}; a restart resumes from there" in stopped.stdout
    resumed = run(tmp_path, "nowhere", 0, "resumed.npz")
    assert resumed.returncode == 0, resumed.stderr
    assert f"resumed from {interrupted}: {done}" in resumed.stdout, resumed.stderr
    assert not interrupted.exists()
    with np.load(tmp_path / "resumed.npz") as file:
        assert file.files == list(whole)
        for name in file.files:
            np.testing.assert_array_equal(file[name], whole[name])


@pytest.mark.any_backend
def test_a_slurm_job_is_saved_before_it_ends_and_requeued(tmp_path, whole):
    """Scripts stand in for SLURM's commands: one starts the program, and one records what is requeued."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    commands = {"srun": 'exec "$@"', "python": f'exec {sys.executable} "$@"', "scontrol": 'echo "$@" >> queued'}
    for name, command in commands.items():
        (bin_ / name).write_text(f"#!/bin/sh\n{command}\n")
        (bin_ / name).chmod(0o755)
    (tmp_path / "train.py").write_text(textwrap.dedent(SCRIPT))
    environment = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}

    def job(where):
        script = [ROOT / "examples" / "slurm.sh", "train.py", where, int(signal.SIGUSR1), f"{where}.npz", "SIGUSR1"]
        command = ["bash", *map(str, script)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    stopped = job("training")
    assert stopped.returncode == 128 + signal.SIGUSR1, stopped.stderr
    assert (tmp_path / "queued").read_text() == "requeue 7\n"
    resumed = job("nowhere")
    assert resumed.returncode == 0, resumed.stderr
    assert "epoch 2, batch 5 of 10" in resumed.stdout
    assert (tmp_path / "queued").read_text() == "requeue 7\n"
    with np.load(tmp_path / "nowhere.npz") as file:
        assert all(np.array_equal(file[name], whole[name]) for name in whole)


@pytest.mark.parametrize(
    ("signals", "error", "text"),
    [
        ("SIGUSR1", ArgumentTypeError, "must be a list of names"),
        ([None], ArgumentTypeError, "None in it"),
        (["USR1"], ArgumentError, "'USR1', which is not a signal here. Expected some of: SIGHUP"),
        (["SIGKILL"], ArgumentError, "'SIGKILL', which no program can handle"),
    ],
)
def test_signals_that_cannot_be_held_back_are_refused(tmp_path, signals, error, text):
    for make in (lambda **given: ModelCheckpoint(tmp_path / "m.keras", resume=True, **given), Checkpointer):
        with pytest.raises(error, match=text):
            make(**({"filepath": tmp_path / "m.keras"} if make is Checkpointer else {}), signals=signals)
    with pytest.raises(ArgumentError, match="only with resume=True"):
        ModelCheckpoint(tmp_path / "m.keras", signals=["SIGUSR1"])


@pytest.fixture
def interruptible():
    """Set the default handlers of signals, even if these tests were started with Ctrl-C ignored."""
    wanted = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("interruptible")
def test_fit_restores_the_signal_handlers(fit, tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    fit(build(), [ModelCheckpoint(tmp_path / "a.keras", resume=True)])
    assert before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))


@pytest.mark.usefixtures("interruptible")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:os.fork", "ignore:.*fork")
def test_signals_act_as_before_after_an_exception_in_fit_and_in_a_forked_child(fit, tmp_path):
    crash(fit, [ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True), CrashAt(batch=3)])
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        os.write(told, b".")
        time.sleep(30)
        os._exit(0)
    os.read(ready, 1)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

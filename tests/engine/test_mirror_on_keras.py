"""Copies of checkpoints in a mirror: complete after training, pruned by the same rules, and used to resume."""

import shutil
import signal
import threading

import pytest

import lastgood
from helpers.claiming import is_claimed
from helpers.crashing import CrashAt, assert_alike, build, crash, start
from helpers.kit import keras
from lastgood import ArgumentError, ArgumentTypeError, Checkpointer, ModelCheckpoint, open_run
from lastgood._storage import LocalStorage
from lastgood.testing import Fault, FaultyStorage
from scenarios.buckets.proxy import Plan

pytestmark = pytest.mark.any_backend

ENDINGS = {".keras": False, ".weights.h5": True, "": True}


def steps(run):
    return [each.step for each in open_run(run).checkpoints]


@pytest.fixture(params=["path", "memory", "s3"])
def elsewhere(request, tmp_path):
    """Return a place other than the run's directory."""
    if request.param == "s3":
        return request.getfixturevalue("bucket")
    return str(tmp_path / "elsewhere") if request.param == "path" else f"memory://mirror/{tmp_path.name}"


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_mirror_holds_an_intact_copy_of_the_latest_checkpoint_after_training(fit, tmp_path, elsewhere, ending):
    if not ending:
        pytest.importorskip("orbax.checkpoint")
    path, options = f"{tmp_path}/run/{{epoch:02d}}{ending}", {"save_weights_only": ENDINGS[ending], "keep_last": 2}
    model = build()
    fit(model, [ModelCheckpoint(path, mirror=elsewhere, **options)], epochs=3)
    assert steps(tmp_path / "run") == [20, 30]
    assert steps(elsewhere)[-1] == 30
    assert len(steps(elsewhere)) <= 2
    assert open_run(tmp_path / "run").verify() == open_run(elsewhere).verify() == []
    other = build()
    keras.backend.clear_session()
    lastgood.load_weights(other, open_run(elsewhere).latest.path)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        assert one.tobytes() == two.tobytes()


def test_a_restart_on_an_empty_disk_resumes_from_the_mirror(fit, tmp_path, elsewhere, capsys):
    path, options = f"{tmp_path}/run/{{epoch:02d}}-{{batch:02d}}.keras", {"save_freq": 3, "resume": True}
    crash(fit, [ModelCheckpoint(path, mirror=elsewhere, **options), CrashAt(batch=17)])
    newest = steps(elsewhere)[-1]
    shutil.rmtree(tmp_path / "run")
    resumed = start(fit, [ModelCheckpoint(path, mirror=elsewhere, **options)])
    assert f"resumed from {elsewhere}/" in capsys.readouterr().out
    assert newest == 15
    assert_alike(start(fit, [], other=False), resumed)


def test_a_restart_prefers_a_checkpoint_to_its_copy_in_the_mirror(fit, tmp_path, elsewhere, capsys):
    path, options = f"{tmp_path}/run/{{epoch:02d}}.keras", {"resume": True}
    fit(build(), [ModelCheckpoint(path, mirror=elsewhere, **options)], epochs=2)
    fit(build(), [ModelCheckpoint(path, mirror=elsewhere, **options)], epochs=3)
    assert f"resumed from {tmp_path}/run/02.keras" in capsys.readouterr().out
    assert steps(elsewhere)[-1] == 30


def test_a_restart_replaces_a_damaged_checkpoint_by_its_copy_in_the_mirror(fit, tmp_path, elsewhere):
    path, options = tmp_path / "run" / "{epoch:02d}.weights.h5", {"resume": True, "save_weights_only": True}
    whole = start(fit, [ModelCheckpoint(path, mirror=elsewhere, **options)], epochs=3, other=False)
    newest = tmp_path / "run" / "03.weights.h5"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    with pytest.warns(UserWarning, match=r"03\.weights\.h5\.corrupt'; '.*03\.weights\.h5' is used instead"):
        assert_alike(start(fit, [ModelCheckpoint(path, mirror=elsewhere, **options)], epochs=3), whole)


def test_pins_also_protect_copies_in_the_mirror(fit, tmp_path, elsewhere):
    checkpoint = ModelCheckpoint(tmp_path / "run" / "{epoch:02d}.keras", keep_last=1, resume=True, mirror=elsewhere)

    class Pin(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            checkpoint._engine.wait(copies=True)
            if epoch == 0:
                checkpoint.run.pin(f"{tmp_path}/run/01.keras")

    fit(build(), [checkpoint, Pin()], epochs=3)
    assert steps(tmp_path / "run") == steps(elsewhere) == [10, 30]


def test_copies_slower_than_saves_skip_intermediate_checkpoints(fit, tmp_path, proxied):
    url, follow = proxied
    checkpoint = ModelCheckpoint(tmp_path / "run" / "{epoch:02d}.keras", mirror=url)
    held = threading.Event()

    class Hold(keras.callbacks.Callback):
        async_safe = True

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 0:
                follow(Plan(hold=held))

        def on_epoch_end(self, epoch, logs=None):
            if epoch == 4:
                held.set()

    fit(build(), [Hold(), checkpoint], epochs=5)
    assert steps(tmp_path / "run") == [10, 20, 30, 40, 50]
    assert steps(url)[0] == 10
    assert steps(url)[-1] == 50
    assert len(steps(url)) < 5


def test_a_failed_copy_warns_and_the_next_copy_is_made(fit, tmp_path, monkeypatch):
    broken = FaultyStorage(LocalStorage(), Fault("commit", OSError(28, "No space left on device"), nth=1))
    monkeypatch.setattr("lastgood._engine.mirror.storage_of", lambda text: broken)
    mirror = str(tmp_path / "elsewhere")
    checkpoint = ModelCheckpoint(tmp_path / "run" / "{epoch:02d}.keras", mirror=mirror, background=False)

    class Wait(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            checkpoint._engine.wait(copies=True)

    with pytest.warns(UserWarning, match=r"Could not copy the checkpoint '.*01\.keras' to .*No space left.*is saved"):
        fit(build(), [checkpoint, Wait()], epochs=2)
    assert steps(mirror) == [20]
    assert steps(tmp_path / "run") == [10, 20]


def test_a_custom_loop_copies_to_the_mirror_and_restores_from_it(tmp_path, elsewhere):
    for last in (2, 4):
        model = build()
        with Checkpointer(tmp_path / "run" / "{step}.weights.h5", mirror=elsewhere) as checkpointer:
            progress = checkpointer.restore(model)
            for step in range(progress.step + 1 if progress else 1, last + 1):
                checkpointer.save(model, step=step)
                checkpointer._engine.wait(copies=True)
        shutil.rmtree(tmp_path / "run")
    assert progress.path == f"{elsewhere}/2.weights.h5"
    assert steps(elsewhere) == [1, 2, 3, 4]


def test_an_invalid_mirror_is_refused(tmp_path):
    path = tmp_path / "run" / "{epoch}.keras"
    with pytest.raises(ArgumentError, match="is the directory that checkpoints are saved in"):
        ModelCheckpoint(path, mirror=tmp_path / "run")
    with pytest.raises(ArgumentError, match="mirror is empty"):
        ModelCheckpoint(path, mirror="")
    with pytest.raises(ArgumentTypeError, match="mirror must be a str"):
        ModelCheckpoint(path, mirror=3)
    with pytest.raises(ArgumentError, match="names no bucket"):
        ModelCheckpoint(path, mirror="s3:///run")


def test_a_mirror_that_cannot_be_written_to_raises_before_training(fit, tmp_path):
    (tmp_path / "file").touch()
    checkpoint = ModelCheckpoint(tmp_path / "run" / "{epoch}.keras", mirror=tmp_path / "file" / "below")
    with pytest.raises(lastgood.SaveError, match="Could not save checkpoints in"):
        fit(build(), [checkpoint, CrashAt(batch=1)])  # another error if a batch is trained


def test_a_signal_is_delivered_after_the_copy_is_complete(fit, tmp_path, elsewhere):
    checkpoint = ModelCheckpoint(tmp_path / "run" / "{epoch:02d}.keras", resume=True, mirror=elsewhere)

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored, as in a background job
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(build(), [Interrupt(), checkpoint], epochs=2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert steps(elsewhere) == [4]
    assert steps(tmp_path / "run") == [4]


def test_a_mirror_at_a_relative_path_gets_copies_a_journal_and_a_claim(fit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint = ModelCheckpoint("run/{epoch:02d}.keras", resume=True, mirror="elsewhere")
    claimed = []

    class Asks(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                claimed.append(is_claimed("elsewhere", "{epoch:02d}.keras"))

    fit(build(), [checkpoint, Asks()], epochs=2)
    assert claimed == [True]
    assert not is_claimed("elsewhere", "{epoch:02d}.keras")
    assert steps("elsewhere")[-1] == 20
    assert "save" in [event["event"] for event in open_run("elsewhere").journal.events()]

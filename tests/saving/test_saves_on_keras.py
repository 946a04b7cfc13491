"""Saves in the background: every file is of one step, and every failure is reported."""

import errno
import io
import json
import logging
import re
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import lastgood
from helpers import children, counting, zoo
from helpers.kit import keras
from helpers.memory import resident
from lastgood import ModelCheckpoint, SaveError
from lastgood._snapshot import copying, staging, state_copy
from lastgood._storage import direct
from lastgood.testing import Fault, faults

BACKEND = keras.backend.backend()


@pytest.fixture
def followed(monkeypatch):
    """Make the writer follow a copy of megabytes as closely as one of gigabytes."""
    monkeypatch.setattr(state_copy, "_WORTH_FOLLOWING", 0)
    for module, name in ((copying, "_BATCH"), (copying, "_PIECE"), (direct, "_CHUNK")):
        monkeypatch.setattr(module, name, 1024 * 1024)


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize(("ending", "closely"), [(".keras", True), (".weights.h5", True), (".weights.h5", False)])
def test_all_tensors_of_a_file_are_of_the_step_in_its_name(fit, tmp_path, request, ending, closely, at_once):
    """Saves start faster than they can be written, while the optimizer updates the variables in place."""
    if closely:
        request.getfixturevalue("followed")
    if at_once > 1 and BACKEND == "torch":
        pytest.skip("Keras refuses steps_per_execution on torch")
    numbers = 500_000  # 16 MB: a write takes longer than a step
    model = counting.model(numbers, steps_per_execution=at_once)
    weights_only = ending == ".weights.h5"
    checkpoint = ModelCheckpoint(
        tmp_path / f"{{epoch}}-{{batch}}{ending}", save_weights_only=weights_only, save_freq=at_once
    )
    fit(model, [checkpoint], epochs=2)
    files = sorted(tmp_path.iterdir())
    assert len(files) == {1: 20, 3: 6}[at_once]
    for path in files:
        epoch, batch = map(int, re.findall(r"\d+", path.name)[:2])
        assert counting.steps_in(path, numbers) == (epoch - 1) * 10 + batch
    assert sum(save.wait for save in checkpoint.stats) > 0


@pytest.mark.parametrize("error", [MemoryError("no room for an array"), KeyboardInterrupt()])
@pytest.mark.parametrize("ending", [".keras", ".weights.h5", ""])
@pytest.mark.usefixtures("followed")
def test_a_snapshot_that_fails_halfway_leaves_no_files_and_raises_once(tmp_path, names, monkeypatch, ending, error):
    """By then, part of the file is on the disk."""
    numbers = 500_000
    model = counting.model(numbers)
    checkpoint = ModelCheckpoint(tmp_path / f"{{epoch}}{ending}", save_weights_only=ending == ".weights.h5")
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(0, {})
    checkpoint.wait()
    before, copy, count = names(tmp_path), copying._copy_pieces, iter(range(100))

    def fail_halfway(pieces):
        if next(count) == 4:
            time.sleep(0.2)
            raise error
        copy(pieces)

    with monkeypatch.context() as patch:
        patch.setattr(copying, "_copy_pieces", fail_halfway)
        with pytest.raises(type(error)):
            checkpoint.on_epoch_end(1, {})
    assert names(tmp_path) == before
    checkpoint.on_epoch_end(2, {})
    checkpoint.wait()
    assert [Path(save.path).name for save in checkpoint.stats] == [f"1{ending}", f"3{ending}"]
    assert set(names(tmp_path)) - set(before) == {f"3{ending}"}


def test_the_archive_holds_what_the_stock_archive_holds(tmp_path):
    """The same members, except for the order of the first two; the same groups, attributes, types, shapes and bytes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`build\(\)` was called on layer 'vocabulary'")
        warnings.filterwarnings("ignore", "Explicitly requested dtype .* is not available")  # by jax
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        for name in zoo.there():
            model, _, _ = zoo.BUILDERS[name]()
            ours, stock = tmp_path / f"{name}.ours.keras", tmp_path / f"{name}.stock.keras"
            _save(model, ours)
            model.save(stock)
            assert _members(ours) == _members(stock), name


def _save(model, path, **options):
    checkpoint = ModelCheckpoint(path, save_weights_only=path.name.endswith(".weights.h5"), **options)
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(0, {})
    checkpoint.wait()
    return checkpoint


def _members(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        found = {}
        for info in archive.infolist():
            content = archive.read(info)
            if info.filename == "metadata.json":
                content = re.sub(rb'"date_saved": "[^"]*"', b"", content)
            if info.filename == "model.weights.h5":
                content = _hdf5(io.BytesIO(content))
            found[info.filename] = (info.compress_type, content)
    return found


def _hdf5(source):
    found = {}

    def visit(name, item):
        if not name.startswith("_lastgood"):
            data = None
            if isinstance(item, h5py.Dataset):
                data = (item.dtype, item.shape, item.chunks, item.compression, item[()].tobytes())
            found[name] = ({key: np.asarray(value).tolist() for key, value in item.attrs.items()}, data)

    with h5py.File(source) as file:
        file.visititems(visit)
    return found


def test_an_optimizer_that_is_also_a_model_attribute_is_stored_where_stock_keras_puts_it(tmp_path):
    class Gan(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2, name="dense")
            self.adam = keras.optimizers.Adam(name="adam")

        def call(self, x):
            return self.dense(x)

    model = Gan()
    model(np.ones((2, 3), "float32"))
    model.compile(model.adam, "mse")
    model.optimizer.build(model.trainable_variables)
    _save(model, tmp_path / "ours.weights.h5")
    model.save_weights(tmp_path / "stock.weights.h5")
    assert _hdf5(tmp_path / "ours.weights.h5") == _hdf5(tmp_path / "stock.weights.h5")
    assert "adam/vars/0" in _hdf5(tmp_path / "ours.weights.h5")


def test_a_model_that_changes_between_saves_gets_a_new_layout(tmp_path):
    model, x, y = zoo.norm_dropout()
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True)
    model.fit(x, y, verbose=0, callbacks=[checkpoint])
    model.get_layer("first").enable_lora(2)
    model.compile("sgd", keras.losses.MeanSquaredError())
    model.fit(x, y, verbose=0, callbacks=[checkpoint], initial_epoch=1, epochs=2)
    model.save_weights(tmp_path / "stock.weights.h5")
    assert _hdf5(tmp_path / "2.weights.h5") == _hdf5(tmp_path / "stock.weights.h5")


@keras.saving.register_keras_serializable("engine")
class StoresComplex(keras.layers.Layer):
    """Saves an array of a dtype that lastgood cannot lay out."""

    def build(self, shape):
        self.w = self.add_weight(shape=(2,), name="w")

    def call(self, x):
        return x * self.w[0]

    def save_own_variables(self, store):
        store["complex"] = np.asarray(keras.ops.convert_to_numpy(self.w)) + np.array([1j, 2j], "complex64")

    def load_own_variables(self, store):
        assert np.array_equal(store["complex"].imag, [1, 2])
        self.w.assign(store["complex"].real)


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_an_unknown_layout_is_left_to_stock_keras_and_reported_once(tmp_path, capsys, ending):
    model = keras.Sequential([keras.Input((3,)), StoresComplex(name="c"), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    rows = np.ones((8, 3), "float32")
    path = tmp_path / f"{{epoch}}{ending}"
    checkpoint = ModelCheckpoint(path, save_weights_only=ending == ".weights.h5", verbose=1)
    model.fit(rows, rows[:, :1], epochs=2, verbose=0, callbacks=[checkpoint])
    assert capsys.readouterr().out.count("only stock Keras can lay out") == 1

    saved, path = model.get_weights(), tmp_path / f"2{ending}"
    model.fit(rows, rows[:, :1], verbose=0)
    lastgood.load_weights(model, path)
    assert all(np.array_equal(a, b) for a, b in zip(saved, model.get_weights(), strict=True))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(lastgood.CorruptCheckpointError):
        lastgood.load_weights(model, path)


def test_a_record_too_long_for_the_archive_comment_is_saved_without_metrics(make_model, tmp_path):
    model = make_model()
    checkpoint = ModelCheckpoint(tmp_path / "m.keras")
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(0, {f"metric_{i:05}": i / 7 for i in range(4000)})
    checkpoint.wait()
    lastgood.load_weights(model, tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert json.loads(archive.comment)["metrics"] == {}


# Failures


def test_an_error_in_the_background_is_raised_at_the_next_hook_with_path_and_cause(fit, make_model, small_disk):
    blocker, trained = small_disk / "full", set()

    class Fill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch
            checkpoint._engine.wait()
            if epoch == 1:
                with pytest.raises(OSError, match="No space"):
                    blocker.write_bytes(bytes(4_000_000))

        def on_train_batch_begin(self, batch, logs=None):
            trained.add(self.epoch)

    checkpoint = ModelCheckpoint(small_disk / "{epoch}.keras")
    with pytest.raises(SaveError, match=r"'.*2\.keras': No space left on device\. Free some space") as caught:
        fit(make_model(), [Fill(), checkpoint], epochs=4)
    assert caught.value.errno == errno.ENOSPC
    assert sorted(p.name for p in small_disk.iterdir()) == ["1.keras", "full"]
    assert trained == {0, 1}  # the next hook is the one at the beginning of the third epoch


def test_on_error_warn_continues_training_and_tries_again_at_the_next_save(fit, make_model, small_disk, caplog):
    blocker = small_disk / "full"

    class FillAndFree(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                checkpoint._engine.wait()
                with pytest.raises(OSError, match="No space"):
                    blocker.write_bytes(bytes(4_000_000))
            if epoch == 3:
                checkpoint._engine.wait()
                blocker.unlink()

    checkpoint = ModelCheckpoint(small_disk / "{epoch}.keras", on_error="warn")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(make_model(), [FillAndFree(), checkpoint], epochs=4)
    told = [str(w.message) for w in caught if "Training continues; the next save tries again" in str(w.message)]
    assert [re.search(r"\d\.keras", text)[0] for text in told] == ["2.keras", "3.keras"]
    assert sorted(p.name for p in small_disk.iterdir()) == ["1.keras", "4.keras"]
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 2
    assert [Path(save.path).name for save in checkpoint.stats] == ["1.keras", "4.keras"]


def test_an_unknown_on_error_raises_an_argument_error(tmp_path):
    with pytest.raises(lastgood.ArgumentError, match="Unrecognized on_error: 'ignore'"):
        ModelCheckpoint(tmp_path / "m.keras", on_error="ignore")


def test_background_false_saves_the_same_before_the_hook_returns(make_model, tmp_path):
    model = make_model()
    model.optimizer.build(model.trainable_variables)
    for background in (True, False):
        checkpoint = ModelCheckpoint(tmp_path / f"{background}.keras", background=background)
        checkpoint.set_model(model)
        checkpoint.on_epoch_end(0, {"loss": 1.0})
        if not background:
            assert (tmp_path / "False.keras").exists()
        checkpoint.wait()
    assert _members(tmp_path / "True.keras") == _members(tmp_path / "False.keras")


def test_two_callbacks_save_the_same_steps(fit, tmp_path):
    """They share one staging buffer and one writer."""
    numbers = 100_000
    both = [ModelCheckpoint(tmp_path / f"{name}{{epoch}}.weights.h5", save_weights_only=True) for name in ("a", "b")]
    fit(counting.model(numbers), both, epochs=3)
    assert [counting.steps_in(tmp_path / f"{n}{e}.weights.h5", numbers) for n in "ab" for e in (1, 2, 3)] == [
        10,
        20,
        30,
    ] * 2


# Output


def test_stats_and_verbose_2_report_the_size_and_times_of_each_save(fit, make_model, tmp_path, capsys):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", verbose=2)
    fit(make_model(), [checkpoint], epochs=2)
    assert [save.path for save in checkpoint.stats] == [str(tmp_path / f"{epoch}.keras") for epoch in (1, 2)]
    for save in checkpoint.stats:
        assert save.size == Path(save.path).stat().st_size
        assert min(save.snapshot, save.write, save.fsync) > 0
        assert save.wait >= 0
    figures = r"[\d.]+ MB, waited [\d.]+ s, snapshot [\d.]+ s, write [\d.]+ s, fsync [\d.]+ s"
    said = capsys.readouterr().out
    for epoch in (1, 2):
        assert re.search(rf"Epoch {epoch}: finished saving model to .*{epoch}\.keras: {figures}", said)


@pytest.mark.parametrize(("terminal", "verbose"), [(True, 1), (True, 0), (False, 1)])
def test_only_a_terminal_shows_a_progress_bar_while_fit_waits_for_its_last_save(
    fit, make_model, tmp_path, capsys, monkeypatch, terminal, verbose
):
    """In a file or a pipe, a bar would be an incomplete line among those of the training."""
    monkeypatch.setenv("TTY_COMPATIBLE", str(int(terminal)))
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")  # what rich 13 looks at
    monkeypatch.setenv("NO_COLOR", "1")
    with faults(Fault("commit", lambda: time.sleep(1.3))):
        checkpoint = ModelCheckpoint(tmp_path / "m.keras", verbose=verbose)
    fit(make_model(), [checkpoint])
    said = capsys.readouterr().out
    full = re.search(r"saving m\.keras [^\n]* ([\d.]+)/\1 kB", said)
    assert bool(full) == (terminal and verbose > 0)
    assert said.endswith(f"finished saving model to {tmp_path}/m.keras\n" if verbose else "")


def test_the_did_not_improve_message_compares_with_a_save_in_flight(make_model, tmp_path, capsys):
    model = make_model()
    model.optimizer.build(model.trainable_variables)
    may_commit = threading.Event()
    with faults(Fault("commit", lambda: may_commit.wait(20), nth=2)):
        options = {"mode": "max", "save_best_only": True, "verbose": 1, "background": True}
        checkpoint = ModelCheckpoint(tmp_path / "m.keras", "score", **options)
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(0, {"score": 2.0})
    checkpoint.wait()
    checkpoint.on_epoch_end(1, {"score": 3.0})
    checkpoint.on_epoch_end(2, {"score": 1.0})
    assert "score did not improve from 3.00000" in capsys.readouterr().out
    assert checkpoint.best == 2.0  # the save of 3.0 is in flight
    may_commit.set()
    checkpoint.wait()
    assert checkpoint.best == 3.0


SLOW = """
    import os, sys, time, signal, threading
    import numpy as np, keras
    import lastgood
    fsync = os.fsync
    os.fsync = lambda descriptor: (time.sleep(SECONDS), fsync(descriptor))[1]
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    rows = np.ones((8, 4), "float32")
    checkpoint = lastgood.ModelCheckpoint(sys.argv[1] + "/{epoch}.keras")
"""


def _run(tmp_path, code, *, seconds=0.4, status=0):
    """Run a script that trains on a slow disk; return what it printed."""
    head = SLOW.replace("SECONDS", str(seconds))
    script = textwrap.dedent(head) + textwrap.dedent(code)
    done = children.run(["-W", "ignore", "-c", script, tmp_path])
    assert done.returncode == status, done.stderr[-2000:]
    return done.stdout + done.stderr


class Ends:
    """Ways in which a script ends while a save is in flight."""

    EXCEPTION = "raise RuntimeError('mine')"
    EXIT = "sys.exit(1)"
    INTERRUPT = "raise KeyboardInterrupt"


@pytest.mark.parametrize(("end", "status"), [(Ends.EXCEPTION, 1), (Ends.EXIT, 1), (Ends.INTERRUPT, -2)])
def test_a_save_in_flight_is_finished_however_the_script_ends(tmp_path, names, end, status):
    code = f"""
        class End(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 1:
                    {end}
        model.fit(rows, rows[:, :1], epochs=3, verbose=0, callbacks=[checkpoint, End()])
    """
    _run(tmp_path, code, status=status)
    assert names(tmp_path) == ["1.keras"]
    assert keras.models.load_model(tmp_path / "1.keras")


def test_a_save_in_flight_that_fails_after_the_last_hook_is_still_reported(tmp_path, names):
    code = """
        def fail(descriptor):
            raise OSError(5, "Input/output error")
        os.fsync = lambda descriptor: (time.sleep(0.3), fail(descriptor))
        class End(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 1:
                    sys.exit(1)
        model.fit(rows, rows[:, :1], epochs=3, verbose=0, callbacks=[checkpoint, End()])
    """
    said = _run(tmp_path, code, status=1)
    assert re.search(r"Could not save the checkpoint '.*1\.keras': Input/output error", said)
    assert names(tmp_path) == []


def test_a_fork_while_a_save_is_in_flight_neither_hangs_nor_touches_it(tmp_path, names):
    """Data loaders fork their workers: a worker must neither wait for its parent's save nor end it."""
    code = """
        import multiprocessing
        from lastgood._saving import writer
        checkpoint.set_model(model)
        checkpoint.on_train_begin()
        checkpoint.on_epoch_end(0, {})
        worker = multiprocessing.get_context("fork").Process(target=writer.flush)
        started = time.monotonic()
        worker.start()
        worker.join()
        print("worker:", worker.exitcode, time.monotonic() - started < 1.5)
        checkpoint.wait()
    """
    assert "worker: 0 True" in _run(tmp_path, code, seconds=1.5)
    assert names(tmp_path) == ["1.keras"]
    assert keras.models.load_model(tmp_path / "1.keras")


def test_the_extra_memory_of_saves_is_one_copy_of_the_state(tmp_path):
    """The difference in peak memory between a process with saves and one without."""
    code = """
        import resource, sys
        import numpy as np, keras, lastgood
        numbers, saves = 16_000_000, sys.argv[2] == "saves"
        class Model(keras.Model):
            def __init__(self):
                super().__init__()
                self.numbers = [self.add_weight(shape=(numbers // 8,), initializer="zeros") for _ in range(8)]
                self.built = True
        model = Model()
        checkpoint = lastgood.ModelCheckpoint(sys.argv[1] + "/{epoch}.weights.h5", save_weights_only=True)
        if saves:
            checkpoint.set_model(model)
            checkpoint.on_train_begin()
            for epoch in range(3):
                checkpoint.on_epoch_end(epoch, {})
            checkpoint.wait()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    """
    peaks = []
    for mode in ("none", "saves"):
        command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), str(tmp_path), mode]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        peaks.append(int(done.stdout.split()[-1]))
    assert (peaks[1] - peaks[0]) / 64e6 < 1.4


@pytest.mark.skipif(sys.platform != "linux", reason="needs the mincore of Linux")
@pytest.mark.parametrize("when", ["at the first step", "at the end of an epoch of one step", "later"])
def test_the_first_save_does_not_wait_for_page_faults(fit, tmp_path, monkeypatch, when):
    """`benchmarks/` measures the time; here, the memory must be resident when the hook is called."""
    monkeypatch.setattr(staging, "_buffer", None)
    touch = staging._touch
    monkeypatch.setattr(staging, "_touch", lambda parts: (time.sleep(2), touch(parts)))  # as on slow memory

    class Looks(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.found = None

        def on_train_batch_end(self, batch, logs=None):
            if self.found is None:
                if when == "later":
                    staging._buffer._filling.wait(60)
                self.found = resident(staging._buffer.memory, numbers * 32)

    numbers, looks = 1_000_000, Looks()  # 32 MB
    options = {"batch_size": 40} if "epoch" in when else {}
    save_freq = 1 if "step" in when and not options else "epoch"
    checkpoint = ModelCheckpoint(tmp_path / "m.weights.h5", save_weights_only=True, save_freq=save_freq)
    model = counting.model(numbers)
    model.fit(np.zeros((40, 4)), np.zeros((40, 1)), verbose=0, callbacks=[looks, checkpoint], **options)
    before = staging._buffer
    assert looks.found >= numbers * 32
    fit(model, [checkpoint])
    assert staging._buffer is before


@pytest.mark.skipif(BACKEND != "jax", reason="only arrays of jax come through its pinned memory")
@pytest.mark.parametrize("memory", ["pinned_host", "that no device has"])
def test_arrays_from_a_gpu_arrive_complete_and_in_order(monkeypatch, memory):
    """The code path for GPUs, through pinned memory, which jax also has on the CPU."""
    import jax

    from lastgood._snapshot import on_jax

    monkeypatch.setattr(on_jax, "_GROUP", 1000)
    monkeypatch.setattr(on_jax, "_PINNED", memory)
    on_jax._has_pinned_memory.cache_clear()
    on_jax._PinnedPool().pin(np.zeros(10, np.uint8))
    arrays = [jax.numpy.arange(float(size)) + size for size in range(60)]
    arrays += [np.ones(3), jax.numpy.ones((3, 3), "bfloat16"), jax.numpy.float32(3), jax.numpy.zeros((0, 4))]
    fetched = list(on_jax.fetched(arrays))
    assert [each.dtype for each in fetched] == [each.dtype for each in arrays]
    for one, other in zip(arrays, fetched, strict=True):
        np.testing.assert_array_equal(np.asarray(one), other)
    on_jax._has_pinned_memory.cache_clear()

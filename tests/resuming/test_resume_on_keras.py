"""Resuming a run, inside an epoch and after one."""

import errno
import gc
import json
import os
import shutil
import warnings

import h5py
import numpy as np
import pytest

from helpers.crashing import CrashAt, CrashError, TrainedYet, assert_alike, build, crash, start
from helpers.kit import TF_KERAS, keras, to_numpy
from lastgood import ModelCheckpoint, RestoreError
from lastgood._formats.weights_load import Loader


def clear(directory):
    """Remove everything that a run has left, its journal included."""
    shutil.rmtree(directory)
    directory.mkdir()


class Log(keras.callbacks.Callback):
    """Records the calls of its hooks, and has a state."""

    def __init__(self):
        super().__init__()
        self.told, self.batches = [], 0

    def on_epoch_begin(self, epoch, logs=None):
        self.told.append(("epoch", epoch))

    def on_train_batch_begin(self, batch, logs=None):
        self.told.append(("begin", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.told.append(("end", batch))
        self.batches += 1

    def get_state(self):
        return {"batches": self.batches}

    def set_state(self, state):
        self.batches = state["batches"]


def test_resume_true_does_not_change_the_first_run(fit, tmp_path, capsys):
    plain = start(fit, [], other=False)
    resumed = start(fit, [ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True)], other=False)
    assert_alike(plain, resumed)
    assert capsys.readouterr().out == ""


def test_checkpoints_of_another_filepath_are_mentioned_when_nothing_is_resumed(fit, tmp_path, capsys, monkeypatch):
    for place in (tmp_path / "below", tmp_path):  # what is below the directory is of another run
        start(fit, [ModelCheckpoint(place / "{epoch}.keras", resume=True)], epochs=2)
    assert "nothing to resume" not in capsys.readouterr().out
    start(fit, [ModelCheckpoint(tmp_path / "second-{epoch}.keras", resume=True)], epochs=1)  # a second phase
    assert "nothing to resume" not in capsys.readouterr().out
    monkeypatch.setattr("lastgood._engine.engine._begun", set())  # as in another process
    start(fit, [ModelCheckpoint(tmp_path / "{epoch}-{batch}.keras", save_freq=5, resume=True)], epochs=1)
    told = f"there is no checkpoint of '{tmp_path}/{{epoch}}-{{batch}}.keras', only others, such as {tmp_path}/2.keras"
    assert f"nothing to resume: {told}\n" in capsys.readouterr().out


@pytest.mark.parametrize("validate", [False, True])
@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_a_restart_continues_inside_the_epoch(fit, tmp_path, capsys, ending, validate):
    options = {"save_freq": 3, "save_weights_only": ending != ".keras", "resume": True}
    path = tmp_path / f"{{epoch}}-{{batch}}{ending}"
    crash(fit, [ModelCheckpoint(path, **options), CrashAt(batch=17)], validate=validate)
    resumed = start(fit, [ModelCheckpoint(path, **options)], validate=validate)
    assert f"resumed from {tmp_path / f'2-5{ending}'}: epoch 2, batch 5 of 10" in capsys.readouterr().out
    assert_alike(start(fit, [], other=False, validate=validate), resumed)
    assert TF_KERAS or resumed[0]._initial_epoch is None


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_a_restart_inside_the_epoch_loads_the_model_once(fit, tmp_path, monkeypatch, ending):
    """Loading it twice would double how long a restart of a large model takes."""
    options = {"save_freq": 3, "save_weights_only": ending != ".keras", "resume": True}
    path, loads, fill = tmp_path / f"{{epoch}}-{{batch}}{ending}", [], Loader.fill
    crash(fit, [ModelCheckpoint(path, **options), CrashAt(batch=17)])
    monkeypatch.setattr(Loader, "fill", lambda loader: (loads.append(loader), fill(loader))[1])
    resumed = start(fit, [ModelCheckpoint(path, **options)])
    assert len(loads) == 1
    assert_alike(start(fit, [], other=False), resumed)


@pytest.mark.parametrize("first", [True, False])
def test_a_restart_does_not_repeat_a_learning_rate_change_from_the_start_of_its_epoch(fit, tmp_path, first):
    """The restarted epoch calls ``on_epoch_begin`` again; what that changes in the model must not remain."""

    def callbacks(*more):
        checkpoint = ModelCheckpoint(tmp_path / "{epoch}-{batch}.keras", save_freq=3, resume=True)
        both = [checkpoint, keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)]
        return [*(both if first else reversed(both)), *more]

    crash(fit, callbacks(CrashAt(batch=17)))
    resumed = start(fit, callbacks())
    clear(tmp_path)
    whole = start(fit, callbacks(), other=False)
    assert_alike(whole, resumed)
    assert float(to_numpy(resumed[0].optimizer.learning_rate)) == pytest.approx(0.001 * 0.5**3)


def test_a_restart_continues_after_a_completed_epoch(fit, tmp_path, capsys):
    crash(fit, [ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True), CrashAt(batch=17)])
    resumed = start(fit, [ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True)])
    assert f"resumed from {tmp_path / '1.keras'}: epoch 1 is done" in capsys.readouterr().out
    assert_alike(start(fit, [], other=False), resumed)


@pytest.mark.parametrize("resume", [True, False])
def test_fit_frees_its_data_iterators_without_a_garbage_collection(fit, tmp_path, resume):
    """Collecting takes a second for each iterator of TensorFlow: consecutive trainings used to pause for minutes."""

    def left(callback):
        model = build()
        gc.collect()
        gc.disable()
        try:
            before = there()
            fit(model, [callback])
            return there() - before
        finally:
            gc.enable()

    def there():
        kinds = ("EpochIterator", "DataHandler", "OwnedIterator")
        return sum(type(each).__name__.endswith(kinds) for each in gc.get_objects())

    stock = left(keras.callbacks.ModelCheckpoint(str(tmp_path / "stock.keras")))
    assert left(ModelCheckpoint(tmp_path / "{epoch}.keras", resume=resume, save_last=resume)) <= stock


def test_a_finished_run_does_not_train_and_continues_if_given_more_epochs(fit, tmp_path, capsys):
    whole = start(fit, [ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True)], other=False, epochs=2)
    again = start(fit, [ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True)], epochs=2)
    assert "the run has ended, nothing is left to train" in capsys.readouterr().out
    assert_alike(whole, again)
    longer = start(fit, [ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True)], epochs=3)
    assert_alike(start(fit, [], other=False), longer)


def test_fewer_epochs_than_are_done_train_nothing_and_the_message_says_why(fit, tmp_path, capsys):
    start(fit, [ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True)], other=False, epochs=3)
    start(fit, [ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True)], epochs=2)
    assert "the run has ended (epoch 3 is done, and fit() has epochs=2), nothing is left" in capsys.readouterr().out


@pytest.mark.parametrize("first", [True, False])
def test_a_run_that_was_stopped_early_stays_stopped(fit, tmp_path, capsys, first):
    def callbacks():
        stop = keras.callbacks.EarlyStopping("loss", patience=1, min_delta=9.0, restore_best_weights=True)
        checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True)
        return [checkpoint, stop] if first else [stop, checkpoint]

    whole = start(fit, callbacks(), other=False, epochs=6)
    again = start(fit, callbacks(), epochs=6)
    assert "the run has ended (a callback stopped it in epoch 2), nothing is left" in capsys.readouterr().out
    assert_alike(whole, again)


def test_a_restart_remembers_the_best_value(fit, tmp_path):
    """Users complained that a restart overwrites the best model with its first, worse one."""

    def callbacks(*more):
        best = ModelCheckpoint(tmp_path / "best.keras", monitor="loss", save_best_only=True, resume=True)
        last = ModelCheckpoint(tmp_path / "last.keras", resume=True)
        return [best, last, *more]

    crash(fit, callbacks(CrashAt(batch=25)))
    members = callbacks()
    resumed = start(fit, members)
    whole = callbacks()
    clear(tmp_path)
    assert_alike(start(fit, whole, other=False), resumed)
    assert members[0].best == whole[0].best


def test_a_missed_checkpoint_that_a_restart_saves_can_be_resumed_from(fit, tmp_path, names, capsys):
    """Training is killed between the saves of two callbacks; the restart makes the second, then is killed, too."""

    def callbacks(between, behind):
        last = ModelCheckpoint(tmp_path / "last.keras", resume=True)
        best = ModelCheckpoint(tmp_path / "best.keras", monitor="loss", save_best_only=True, resume=True)
        return [last, between, best, behind]

    crash(fit, callbacks(CrashAt(epoch=0), CrashAt()))
    assert names(tmp_path) == [".lastgood", "last.keras"]
    crash(fit, callbacks(CrashAt(), CrashAt(batch=4)))
    assert names(tmp_path) == [".lastgood", "best.keras", "last.keras"]
    (tmp_path / "last.keras").unlink()
    resumed = start(fit, callbacks(CrashAt(), CrashAt()))
    assert f"resumed from {tmp_path / 'best.keras'}: epoch 1 is done" in capsys.readouterr().out
    assert_alike(start(fit, [], other=False), resumed)


@pytest.mark.parametrize("first", [True, False])
def test_keras_callbacks_continue_from_their_saved_states(fit, tmp_path, first):
    def callbacks(*more):
        others = [
            keras.callbacks.EarlyStopping("loss", patience=1, min_delta=9.0, restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau("loss", patience=1, factor=0.5, min_delta=9.0),
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
            keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        ]
        checkpoint = ModelCheckpoint(tmp_path / "{epoch}-{batch}.keras", save_freq=3, resume=True)
        return [checkpoint, *others, *more] if first else [*others, checkpoint, *more]

    crash(fit, callbacks(CrashAt(batch=17)), epochs=6)
    resumed = start(fit, callbacks(), epochs=6)
    rows = (tmp_path / "log.csv").read_bytes()
    clear(tmp_path)
    whole = start(fit, callbacks(), other=False, epochs=6)
    assert_alike(whole, resumed)
    assert len(whole[1].epoch) == 2
    assert rows == (tmp_path / "log.csv").read_bytes()


def test_hooks_of_other_callbacks_are_called_once_for_each_batch(fit, tmp_path):
    before, after = Log(), Log()
    crash(fit, [ModelCheckpoint(tmp_path / "{epoch}-{batch}.keras", save_freq=4, resume=True), before, CrashAt(15)])
    start(fit, [ModelCheckpoint(tmp_path / "{epoch}-{batch}.keras", save_freq=4, resume=True), after])
    # It comes after the callback that saved, so its hook for the end of the last batch had not been called.
    assert after.told[:3] == [("epoch", 1), ("end", 1), ("begin", 2)]
    assert [batch for what, batch in after.told if what == "end"] == [*range(1, 10), *range(10)]
    assert after.batches == 30


def test_a_restart_restores_a_model_that_its_first_batch_builds(fit, tmp_path):
    def run(callbacks):
        keras.utils.set_random_seed(5)
        model = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(1, "sigmoid")])
        model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
        return model, fit(model, callbacks, epochs=2)

    path = tmp_path / "{epoch}-{batch}.keras"
    with pytest.raises(CrashError):
        run([ModelCheckpoint(path, save_freq=3, resume=True), CrashAt(batch=8)])
    assert_alike(run([]), run([ModelCheckpoint(path, save_freq=3, resume=True)]))


def test_a_restart_continues_the_steps_of_tensorboard(fit, tmp_path):
    pytest.importorskip("tensorflow", reason="Keras writes TensorBoard's files with TensorFlow")

    def board():
        return keras.callbacks.TensorBoard(tmp_path / "logs", update_freq=1)

    checkpoint = {"filepath": tmp_path / "{epoch}-{batch}.keras", "save_freq": 4, "resume": True}
    crash(fit, [ModelCheckpoint(**checkpoint), board(), CrashAt(batch=15)])
    resumed = board()
    start(fit, [ModelCheckpoint(**checkpoint), resumed])
    assert resumed._global_train_batch == 30


def test_a_custom_callback_whose_state_cannot_be_saved_warns(fit, tmp_path):
    class Odd(Log):
        def get_state(self):
            return {"lock": object()}

    with pytest.warns(UserWarning, match="Odd is not saved, because /lock is of type object"):
        fit(build(), [ModelCheckpoint(tmp_path / "a.keras"), Odd()])
    assert (tmp_path / "a.keras").exists()


def damage(path, array="layers/dense/vars/0"):
    with h5py.File(path) as file:
        at = file[array].id.get_offset()
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_is_used(fit, tmp_path, names):
    options = {"save_weights_only": True, "resume": True}
    start(fit, [ModelCheckpoint(tmp_path / "{epoch}.weights.h5", **options)], other=False)
    damage(tmp_path / "3.weights.h5")
    (tmp_path / "9.weights.h5").write_bytes(b"half")
    with pytest.warns(UserWarning, match="is used instead") as caught:
        resumed = start(fit, [ModelCheckpoint(tmp_path / "{epoch}.weights.h5", **options)])
    told = [str(warning.message) for warning in caught if warning.category is UserWarning]
    assert len(told) == 2
    assert "9.weights.h5" in told[0]
    assert "damaged in the array 'layers/dense/vars/0'" in told[1]
    assert names(tmp_path)[-2:] == ["3.weights.h5.corrupt", "9.weights.h5.corrupt"]
    assert_alike(start(fit, [], other=False), resumed)


@pytest.mark.parametrize("template", ["{epoch}.keras", "{epoch}.weights.h5"])
def test_resume_falls_back_from_a_checkpoint_that_the_disk_cannot_read(fit, tmp_path, names, monkeypatch, template):
    """A bad sector must not stop a job that restarts at night until somebody looks at it."""
    options = {"save_weights_only": template.endswith("h5"), "resume": True}
    start(fit, [ModelCheckpoint(tmp_path / template, **options)], other=False)
    newest = tmp_path / template.format(epoch=3)
    content, bad, read = newest.read_bytes(), newest.stat(), os.preadv

    def preadv(descriptor, buffers, offset):
        there = os.fstat(descriptor)
        if there.st_ino == bad.st_ino and offset <= bad.st_size // 2 < offset + sum(map(len, buffers)):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(descriptor, buffers, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", preadv)
        with pytest.warns(UserWarning, match=r"it is damaged in .* is used instead"):
            resumed = start(fit, [ModelCheckpoint(tmp_path / template, **options)])
    assert newest.with_name(f"{newest.name}.corrupt").read_bytes() == content
    assert_alike(start(fit, [], other=False), resumed)


def test_if_all_checkpoints_are_damaged_training_does_not_start_and_no_file_is_moved(fit, tmp_path, names):
    (tmp_path / "1.keras").write_bytes(b"half")
    (tmp_path / "2.keras").write_bytes(b"")
    with pytest.raises(RestoreError, match="No intact checkpoint among 2"):
        start(fit, [ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True)])
    assert names(tmp_path) == [".lastgood", "1.keras", "2.keras"]


def test_resume_refuses_a_file_of_stock_keras_and_does_not_overwrite_it(fit, tmp_path):
    build().save(tmp_path / "1.keras")
    before = checkpoints(tmp_path)
    with pytest.raises(RestoreError, match="has no training state to resume from"):
        start(fit, [ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True)])
    assert checkpoints(tmp_path) == before


def checkpoints(directory):
    """Return the contents of the files in a directory, by name."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


def test_another_model_is_refused_before_anything_is_overwritten(fit, tmp_path):
    start(fit, [ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True)], other=False)
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name="only")])
    other.compile("adam", "mse")
    before, files = other.get_weights(), checkpoints(tmp_path)
    with pytest.raises(RestoreError, match="only/kernel"):
        fit(other, [ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True)])
    np.testing.assert_array_equal(before[0], other.get_weights()[0])
    assert checkpoints(tmp_path) == files
    assert set(files) == {"1.keras", "2.keras", "3.keras"}


@pytest.mark.skipif(TF_KERAS, reason="the format needs Keras 3")
def test_resume_refuses_an_optimizer_of_another_name(fit, make_model, tmp_path):
    """From an Orbax directory, stock Keras loads what has the same path, and would leave the momentum at zero."""
    options = {"save_weights_only": True, "resume": True}
    for name in ("adam", "another"):
        model = make_model()
        model.compile(keras.optimizers.Adam(name=name), "binary_crossentropy")
        if name == "adam":
            fit(model, [ModelCheckpoint(tmp_path / "{epoch}", **options)])
            continue
        with pytest.raises(RestoreError, match="'optimizer_variables/adam/iteration' is not in the model"):
            fit(model, [ModelCheckpoint(tmp_path / "{epoch}", **options)], epochs=2)


@pytest.mark.skipif(TF_KERAS, reason="tf_keras has no PyDataset")
def test_data_that_cannot_resume_exactly_warns_before_training(tmp_path, data):
    x, y = data

    def batches():
        while True:
            yield x[:4], y[:4]

    class Shuffled(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return x[:4], y[:4]

        def on_epoch_end(self):
            pass

    for source, text in ((batches(), "a generator cannot be rewound"), (Shuffled(), "Shuffled has its own")):
        model, checkpoint = build(), ModelCheckpoint(tmp_path / "a.keras", resume=True)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            trained = TrainedYet(told)
            model.fit(source, steps_per_epoch=2, shuffle=False, verbose=0, callbacks=[trained, checkpoint])
        assert any(text in each for each in trained.before)
        (tmp_path / "a.keras").unlink()


@pytest.mark.skipif(TF_KERAS, reason="tf_keras has no PyDataset")
def test_a_restart_restores_the_state_of_a_pydataset(tmp_path, data):
    x, y = data

    class Own(keras.utils.PyDataset):
        """Shuffles itself after each epoch."""

        def __init__(self):
            super().__init__()
            self.order = list(range(10))
            self.generator = np.random.default_rng(1)

        def __len__(self):
            return 10

        def __getitem__(self, i):
            rows = slice(4 * self.order[i], 4 * self.order[i] + 4)
            return x[rows], y[rows]

        def on_epoch_end(self):
            self.generator.shuffle(self.order)

        def get_state(self):
            return {"order": list(self.order), "generator": self.generator.bit_generator.state}

        def set_state(self, state):
            self.order = list(state["order"])
            self.generator.bit_generator.state = state["generator"]

    def fit(model, callbacks, epochs):
        return model.fit(Own(), epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)

    path = tmp_path / "{epoch}-{batch}.keras"
    crash(fit, [ModelCheckpoint(path, save_freq=4, resume=True), CrashAt(batch=27)])
    assert_alike(start(fit, [], other=False), start(fit, [ModelCheckpoint(path, save_freq=4, resume=True)]))


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # torchdata calls it
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:os.fork", "ignore:.*fork")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.skipif(TF_KERAS, reason="tf_keras does not accept such a loader")
def test_a_loader_that_knows_its_position_does_not_read_batches_again(tmp_path, data, workers):
    if workers and keras.backend.backend() != "torch":
        pytest.skip("workers are forked processes, which jax and TensorFlow do not support")
    torch = pytest.importorskip("torch")
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    x, y = data
    asked = []

    class Pairs(torch.utils.data.Dataset):
        def __len__(self):
            return len(x)

        def __getitem__(self, i):
            asked.append(i)
            return torch.from_numpy(x[i]), torch.from_numpy(y[i])

    def fit(model, callbacks, epochs):
        torch.manual_seed(3)
        loader = stateful.StatefulDataLoader(Pairs(), batch_size=4, shuffle=True, num_workers=workers)
        del asked[:]
        return model.fit(loader, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)

    path = tmp_path / "{epoch}-{batch}.keras"
    crash(fit, [ModelCheckpoint(path, save_freq=7, resume=True), CrashAt(batch=9)], epochs=1)
    resumed = start(fit, [ModelCheckpoint(path, save_freq=7, resume=True)], epochs=1)
    if not workers and keras.backend.backend() != "tensorflow":  # TensorFlow prefetches, so it reads some again
        assert len(asked) <= (3 + 2) * 4  # Keras first reads one or two batches, for their shapes
    assert_alike(start(fit, [], other=False, epochs=1), resumed)


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # torchdata calls it
@pytest.mark.skipif(TF_KERAS, reason="tf_keras does not accept such a loader")
def test_a_restart_is_exact_with_a_loader_that_cannot_report_its_position(tmp_path, data):
    torch = pytest.importorskip("torch")
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    x, y = data

    class Pairs(torch.utils.data.Dataset):
        def __len__(self):
            return len(x)

        def __getitem__(self, i):
            return torch.from_numpy(x[i]), torch.from_numpy(y[i])

        def state_dict(self):
            raise NotImplementedError

    def fit(model, callbacks, epochs):
        torch.manual_seed(3)
        loader = stateful.StatefulDataLoader(Pairs(), batch_size=4, shuffle=True)
        return model.fit(loader, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)

    path = tmp_path / "{epoch}-{batch}.keras"
    crash(fit, [ModelCheckpoint(path, save_freq=7, resume=True), CrashAt(batch=9)], epochs=2)
    resumed = start(fit, [ModelCheckpoint(path, save_freq=7, resume=True)], epochs=2)
    assert_alike(start(fit, [], other=False, epochs=2), resumed)


@pytest.mark.parametrize("save_freq", ["epoch", 3])
def test_another_number_of_batches_in_an_epoch_warns(tmp_path, data, save_freq):
    x, y = data
    path = tmp_path / "{epoch}.keras"

    def fit(batch_size, epochs):
        callbacks = [ModelCheckpoint(path, save_freq=save_freq, resume=True)]
        build().fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=callbacks)

    fit(4, 1)
    fit(4, 2)
    batches = -(-len(x) // 4), -(-len(x) // 2)
    told = f"saved with {batches[0]} batches in an epoch, and this fit\\(\\) has {batches[1]}: the batch size"
    with pytest.warns(UserWarning, match=told):
        fit(2, 3)


def test_resume_refuses_steps_per_execution_that_do_not_fit_the_saved_batch(tmp_path, data):
    if keras.backend.backend() == "torch":
        pytest.skip("torch runs one step at a time")
    x, y = data

    def fit(steps, callbacks):
        model = build(steps_per_execution=steps)
        return model.fit(x, y, batch_size=4, epochs=1, verbose=0, callbacks=callbacks)

    path = tmp_path / "{batch}.keras"
    checkpoint = ModelCheckpoint(path, save_freq=2, resume=True)
    with pytest.raises(CrashError):
        fit(2, [checkpoint, CrashAt(batch=2)])
    checkpoint.wait()
    with pytest.raises(RestoreError, match=r"after batch [24] of its epoch, and with steps_per_execution=3"):
        fit(3, [ModelCheckpoint(path, save_freq=3, resume=True)])


def test_the_training_state_is_strict_json_and_plain_arrays_and_is_small(fit, tmp_path):
    """Neither NaN nor a pickle is in it: the JSON and the arrays that it lists are the whole block."""

    def refuse(constant):
        raise AssertionError(constant)

    fit(build(), [ModelCheckpoint(tmp_path / "a.weights.h5", save_weights_only=True)])
    with h5py.File(tmp_path / "a.weights.h5") as file:
        block = file["_lastgood/training"][:].tobytes()
    assert len(block) < 64 * 1024
    end = 8 + int.from_bytes(block[:8], "little")
    values = json.loads(block[8:end].decode(), parse_constant=refuse)
    start_of_arrays = -(-end // 64) * 64
    rest = bytearray(block)
    rest[:end] = bytes(end)
    assert values["arrays"]
    for each in values["arrays"]:
        dtype, at = np.dtype(each["dtype"]), start_of_arrays + each["offset"]
        assert dtype.kind in "biufc"
        size = int(np.prod(each["shape"])) * dtype.itemsize
        assert at + size <= len(block)
        rest[at : at + size] = bytes(size)
    assert not any(rest)

"""Trainings in threads of one process: each leaves its own files, and none sees how another one saves."""

import faulthandler
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import lastgood
from helpers import counting
from helpers.kit import keras, to_numpy
from lastgood import Checkpointer, ModelCheckpoint

pytestmark = pytest.mark.any_backend

PATIENCE = 120
NUMBERS = (150_000, 100_000)  # sizes of the weights: each training's model has its own
DATA = np.zeros((40, 4), "float32")


def in_threads(*works):
    """Run functions in parallel; raise the first of their errors."""
    errors, gate = [], threading.Barrier(len(works))

    def run(work):
        try:
            gate.wait(PATIENCE)
            work()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        if thread.is_alive():
            faulthandler.dump_traceback()
            raise AssertionError("a thread hangs")
    for error in errors:
        raise error


def train(numbers, callbacks, epochs=3, start=0):
    model = counting.model(numbers)
    options = {"batch_size": 4, "verbose": 0, "initial_epoch": start}
    model.fit(DATA, DATA[:, :1], epochs=epochs, callbacks=callbacks, **options)
    return model


def _weights(path, **options):
    return ModelCheckpoint(path, save_weights_only=".keras" not in str(path), **options)


H5, KERAS, DIRECTORY = ".weights.h5", ".keras", ""


@pytest.mark.parametrize("endings", [(H5, H5), (KERAS, H5), (KERAS, KERAS), (DIRECTORY, DIRECTORY)])
@pytest.mark.parametrize("options", [{}, {"keep_last": 2}, {"resume": True, "background": False}])
def test_two_parallel_trainings_each_leave_their_own_files(tmp_path, endings, options):
    def work(name, numbers, ending):
        callback = _weights(tmp_path / name / f"{{epoch}}-{{batch}}{ending}", save_freq=3, **options)
        return lambda: train(numbers, [callback])

    in_threads(*(work(*each) for each in zip("ab", NUMBERS, endings, strict=True)))
    for name, numbers, ending in zip("ab", NUMBERS, endings, strict=True):
        run = lastgood.open_run(tmp_path / name)
        assert len(run.checkpoints) == (2 if "keep_last" in options else 10)
        for each in run.checkpoints:
            epoch, batch = map(int, each.path.name.removesuffix(ending).split("-"))
            assert counting.steps_in(each.path, numbers) == (epoch - 1) * 10 + batch
        assert not run.verify()


def test_two_trainings_in_one_directory_each_prune_and_resume_their_own_checkpoints(tmp_path):
    def work(name, numbers, epochs):
        callback = _weights(tmp_path / f"{name}-{{epoch}}.weights.h5", keep_last=2, resume=True)
        return lambda: train(numbers, [callback], epochs=epochs)

    for epochs in (3, 5):
        in_threads(*(work(name, numbers, epochs) for name, numbers in zip("ab", NUMBERS, strict=True)))
    for name, numbers in zip("ab", NUMBERS, strict=True):
        assert sorted(path.name for path in tmp_path.glob(f"{name}-*")) == [f"{name}-{e}.weights.h5" for e in (4, 5)]
        assert [counting.steps_in(tmp_path / f"{name}-{e}.weights.h5", numbers) for e in (4, 5)] == [40, 50]


def test_a_custom_loop_and_a_parallel_fit_each_leave_their_own_files(tmp_path):
    def loop():
        model = counting.model(NUMBERS[0])
        with Checkpointer(tmp_path / "loop/{step}.weights.h5") as checkpointer:
            for step in range(1, 13):
                model.train_on_batch(DATA[:4], DATA[:4, :1])
                checkpointer.save(model, step=step)

    in_threads(loop, lambda: train(NUMBERS[1], [_weights(tmp_path / "fit/{epoch}.keras")]))
    for step in range(1, 13):
        assert counting.steps_in(tmp_path / f"loop/{step}.weights.h5", NUMBERS[0]) == step
    for epoch in (1, 2, 3):
        assert counting.steps_in(tmp_path / f"fit/{epoch}.keras", NUMBERS[1]) == 10 * epoch


@keras.saving.register_keras_serializable("threads")
class Lingers(keras.layers.Layer):
    """Computes what it saves, so that each save calls it, and can run other work in the middle of a save."""

    meet = None

    def build(self, shape):
        self.w = self.add_weight(shape=(2,), name="w", initializer="ones")
        self.built = True

    def call(self, x):
        return x * self.w[0]

    def save_own_variables(self, store):
        store["w"] = np.asarray(to_numpy(self.w)) * 2
        if Lingers.meet is not None:
            Lingers.meet()

    def load_own_variables(self, store):
        self.w.assign(store["w"][...] / 2)


def _lingering():
    model = keras.Sequential([keras.Input((4,)), Lingers(name="lingers"), keras.layers.Dense(1, name="d")])
    model.compile("adam", "mse")
    model.fit(DATA, DATA[:, :1], batch_size=20, verbose=0)  # builds the optimizer
    return model


@pytest.fixture
def meet(monkeypatch):
    def meeting(function):
        monkeypatch.setattr(Lingers, "meet", staticmethod(function))

    return meeting


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_stock_saving_in_another_thread_gets_copies_and_no_live_variables(tmp_path, meet, ending):
    """An optimizer's own save method is called while a save traverses another model."""
    model, other, seen = _lingering(), _lingering(), []

    def look():
        thread = threading.Thread(target=lambda: other.optimizer.save_own_variables(store))
        store = {}
        thread.start()
        thread.join()
        seen.append(store)

    meet(look)
    checkpoint = _weights(tmp_path / f"{{epoch}}{ending}")
    model.fit(DATA, DATA[:, :1], verbose=0, callbacks=[checkpoint])
    assert seen
    assert {type(value) for store in seen for value in store.values()} <= {np.ndarray, np.int64, np.float32}


def test_overlapping_saves_leave_no_keras_class_patched(tmp_path, meet):
    """A former bug: the first save to begin ended first, and the second put back the patch of the first."""
    kinds = [type(_lingering().optimizer), keras.optimizers.Optimizer, keras.layers.Layer]
    before = [kind.save_own_variables for kind in kinds]
    models = [_lingering(), _lingering()]
    inside = {name: threading.Event() for name in ("first", "second")}

    def overlap():
        name = threading.current_thread().name
        inside[name].set()
        if name == "first":
            inside["second"].wait(1)  # times out if one save waits for the other
        else:
            time.sleep(0.3)

    meet(overlap)

    def work(name, model):
        def run():
            threading.current_thread().name = name
            if name == "second":
                inside["first"].wait(PATIENCE)
            checkpoint = _weights(tmp_path / f"{name}-{{epoch}}.weights.h5")
            model.fit(DATA, DATA[:, :1], batch_size=20, verbose=0, callbacks=[checkpoint])

        return run

    in_threads(*(work(*each) for each in zip(("first", "second"), models, strict=True)))
    assert [kind.save_own_variables for kind in kinds] == before


def test_an_optimizer_with_custom_saving_is_called_as_stock_keras_calls_it(tmp_path):
    @keras.saving.register_keras_serializable("threads")
    class Halves(keras.optimizers.SGD):
        def save_own_variables(self, store):
            copies = {}
            super().save_own_variables(copies)
            seen.update(type(value) for value in copies.values())
            store["half"] = copies["0"] // 2

        def load_own_variables(self, store):
            loaded.append(int(store["half"][()]))

    model, seen, loaded = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name="d")]), set(), []
    model.compile(Halves(), "mse")
    checkpoint = _weights(tmp_path / "ours.weights.h5")
    model.fit(DATA, DATA[:, :1], batch_size=4, verbose=0, callbacks=[checkpoint])
    assert not any(issubclass(kind, type(model.trainable_variables[0])) for kind in seen)
    model.load_weights(tmp_path / "ours.weights.h5")
    assert loaded == [5]


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_the_first_saves_in_threads_of_a_new_process_import_what_they_need(tmp_path, ending):
    code = f"""
        import threading, warnings
        warnings.simplefilter("ignore")
        import numpy as np
        import {keras.__name__} as keras

        def work(number, gate):
            import lastgood
            model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(number)])
            model.compile("adam", "mse")
            x = np.ones((4, 4), "float32")
            gate.wait()
            checkpoint = lastgood.ModelCheckpoint(
                f"{{number}}{ending}", save_weights_only={ending != ".keras"}, resume=True, keep_last=1
            )
            model.fit(x, x[:, :number], verbose=0, callbacks=[checkpoint])
            print(f"saved {{number}}\\n", end="")  # in one write: the other threads print too

        gate = threading.Barrier(3)
        threads = [threading.Thread(target=work, args=(number, gate)) for number in (1, 2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path, check=False)
    assert sorted(done.stdout.split("\n"))[-3:] == ["saved 1", "saved 2", "saved 3"], done.stderr[-3000:]
    assert all((tmp_path / f"{number}{ending}").exists() for number in (1, 2, 3))

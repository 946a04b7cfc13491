"""Which checkpoints of a training are kept, and when they are saved."""

import itertools
import textwrap
import time
from datetime import timedelta

import pytest

from helpers import children
from helpers.crashing import CrashAt, build, crash, start
from helpers.kit import keras
from lastgood import Budget, ModelCheckpoint, open_run
from lastgood.testing import Fault, faults

pytestmark = pytest.mark.any_backend


def steps(directory):
    return [each.step for each in open_run(directory).checkpoints]


class Odd(keras.callbacks.Callback):
    """Logs a metric with known values."""

    def on_epoch_end(self, epoch, logs=None):
        logs["odd"] = [3.0, 1.0, 2.0, 4.0, 5.0][epoch]


def test_the_last_and_the_best_survive(fit, tmp_path):
    last = ModelCheckpoint(tmp_path / "{epoch}.keras", monitor="odd", mode="min", keep_last=2)
    best = ModelCheckpoint(tmp_path / "best-{epoch}.keras", monitor="odd", mode="max", keep_best=1)
    fit(build(), [Odd(), last, best], epochs=5)
    names = sorted(path.name for path in tmp_path.glob("*.keras"))
    assert names == ["2.keras", "4.keras", "5.keras", "best-5.keras"]
    assert last.run.best("odd", "min").epoch == 2


def test_a_misspelled_monitor_costs_no_more_than_the_older_checkpoints(fit, tmp_path):
    with pytest.warns(UserWarning, match=r"uses 'od'.* Did you mean 'odd'\?"):
        fit(
            build(),
            [Odd(), ModelCheckpoint(tmp_path / "{epoch}.keras", monitor="od", mode="min", keep_best=3)],
            epochs=5,
        )
    assert sorted(path.name for path in tmp_path.glob("*.keras")) == ["3.keras", "4.keras", "5.keras"]


def test_a_run_is_ranked_by_the_metric_that_training_monitors(fit, tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", monitor="odd", mode="max", keep_last=9)
    fit(build(), [Odd(), checkpoint], epochs=5)
    run = open_run(tmp_path)
    assert run.best().epoch == run.best("odd").epoch == 5
    assert run.best(mode="min").epoch == 2
    assert [each["epoch"] for each in run.listing() if each["best"]] == [5]
    assert {each.epoch for each in run.prune(keep_best=2, dry_run=True)} == {1, 2, 3}


def test_keep_every_keeps_one_checkpoint_per_interval(fit, tmp_path):
    fit(
        build(),
        [
            ModelCheckpoint(
                tmp_path / "{epoch}-{batch}.weights.h5",
                save_weights_only=True,
                save_freq=3,
                keep_every=10,
                monitor="none",
                mode="min",
            )
        ],
        epochs=4,
    )
    assert steps(tmp_path) == [12, 21, 30, 39]


def test_retention_continues_after_a_restart_and_spares_an_earlier_run(fit, tmp_path):
    fit(build(), [ModelCheckpoint(tmp_path / "{epoch}.keras")], epochs=5)
    earlier = {path.name: path.read_bytes() for path in tmp_path.glob("*.keras")}
    options = {
        "filepath": tmp_path / "{epoch}-{batch}.keras",
        "save_freq": 4,
        "keep_last": 2,
        "resume": True,
        "monitor": "loss",
    }
    crash(fit, [ModelCheckpoint(**options), CrashAt(batch=17)])
    start(fit, [ModelCheckpoint(**options)])
    own = [each for each in open_run(tmp_path).checkpoints if "-" in each.path.name]
    best = min(own, key=lambda each: each.metrics["loss"])
    assert {28, 24} <= {each.step for each in own} <= {28, 24, best.step}
    assert {path.name: path.read_bytes() for path in tmp_path.glob("?.keras")} == earlier


def test_a_checkpoint_pinned_during_training_is_kept(fit, tmp_path):
    class Pin(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                checkpoint.wait()
                checkpoint.run.pin(checkpoint.run.latest)

    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", keep_last=1)
    fit(build(), [checkpoint, Pin()], epochs=4)
    assert steps(tmp_path) == [10, 40]


def test_validation_metrics_rank_the_last_checkpoint_of_the_epoch(fit, tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}-{batch}.keras", save_freq=3, keep_last=1, keep_best=1)
    history = fit(build(), [checkpoint], epochs=3, validate=True).history
    found = {each.step: each.metrics for each in checkpoint.run.checkpoints}
    last_of_its_epoch = {9: 0, 18: 1, 30: 2}
    best = min(last_of_its_epoch, key=lambda step: history["val_loss"][last_of_its_epoch[step]])
    assert set(found) == {best, 30}
    for step, metrics in found.items():
        assert metrics["val_loss"] == pytest.approx(history["val_loss"][last_of_its_epoch[step]])


@pytest.mark.parametrize(("odd", "survivors"), [((3.0, 2.0, 1.0), [30]), ((1.0, 3.0, 2.0), [9, 30])])
@pytest.mark.parametrize("slow", [None, 10])
def test_retention_does_not_depend_on_the_speed_of_the_disk(fit, tmp_path, odd, survivors, slow):
    """A metric may arrive before or after the save that it ranks is durable."""

    class Measures(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["odd"] = odd[epoch]

    planned = [Fault("commit", lambda: time.sleep(0.3), nth=slow)] if slow else []
    with faults(*planned):
        path, policy = tmp_path / "{epoch}-{batch}.keras", {"keep_last": 1, "keep_best": 1}
        checkpoint = ModelCheckpoint(path, save_freq=3, monitor="odd", mode="min", **policy)
    fit(build(), [Measures(), checkpoint], epochs=3)
    assert steps(tmp_path) == survivors


def test_the_last_state_is_saved_when_a_callback_stops_training(fit, tmp_path):
    stop = keras.callbacks.EarlyStopping("loss", patience=1, min_delta=9.0, restore_best_weights=True)
    model = build()
    fit(model, [ModelCheckpoint(tmp_path / "{epoch}.keras", save_freq=7, save_last=True), stop], epochs=6)
    latest = open_run(tmp_path).latest
    assert (latest.path.name, latest.step) == ("2.keras", 20)
    loaded = keras.models.load_model(latest.path)
    assert [w.tolist() for w in loaded.get_weights()] == [w.tolist() for w in model.get_weights()]


def test_weights_restored_at_the_end_are_saved_beside_the_last_epoch(fit, tmp_path):
    stop = keras.callbacks.EarlyStopping("loss", patience=1, min_delta=9.0, restore_best_weights=True)
    model = build()
    fit(model, [ModelCheckpoint(tmp_path / "{epoch}.keras", save_last=True), stop], epochs=6)
    assert sorted(path.name for path in tmp_path.glob("*.keras")) == ["1.keras", "2.keras", "last-epoch.keras"]

    def weights(name):
        return [weight.tolist() for weight in keras.models.load_model(tmp_path / name).get_weights()]

    assert weights("last-epoch.keras") == [weight.tolist() for weight in model.get_weights()]
    assert weights("last-epoch.keras") == weights("1.keras") != weights("2.keras")


def test_the_last_state_does_not_replace_the_best(fit, tmp_path):
    best = ModelCheckpoint(tmp_path / "best.keras", monitor="odd", mode="max", save_best_only=True, save_last=True)
    fit(build(), [Odd(), best], epochs=3)
    assert sorted(path.name for path in tmp_path.glob("*.keras")) == ["best.keras", "last-best.keras"]
    assert steps(tmp_path) == [10, 30]


def test_save_last_does_not_save_the_same_state_twice(fit, tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", save_last=True)
    fit(build(), [checkpoint], epochs=2)
    assert len(checkpoint.stats) == 2


def test_restarting_a_finished_training_changes_no_checkpoint(fit, tmp_path):
    def callback():
        return ModelCheckpoint(tmp_path / "{epoch}.keras", save_last=True, keep_last=2, resume=True)

    fit(build(), [callback()], epochs=3)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.keras")}
    fit(build(), [callback()], epochs=3)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.keras")} == before


def test_hooks_called_without_fit_save_the_last_state_too(tmp_path, data):
    x, y = data
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", save_freq=1000, save_last=True)
    model = build()
    checkpoint.set_model(model)
    checkpoint.set_params({"steps": 10})
    checkpoint.on_train_begin()
    checkpoint.on_epoch_begin(0)
    model.train_on_batch(x[:4], y[:4])
    checkpoint.on_epoch_end(0, {})
    checkpoint.on_train_end({})
    assert steps(tmp_path) == [1]


class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.02)


def test_a_timedelta_as_save_freq_saves_at_most_once_per_interval(fit, tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}-{batch}.keras", save_freq=timedelta(seconds=0.15))
    began = time.monotonic()
    fit(build(), [checkpoint, Slow()], epochs=3)
    gaps = [b - a for a, b in itertools.pairwise(steps(tmp_path))]
    assert 1 <= len(gaps) <= (time.monotonic() - began) / 0.15
    made = [each.created for each in open_run(tmp_path).checkpoints]
    assert all(b - a >= 0.149 for a, b in itertools.pairwise(made))


def test_a_budget_prints_its_target_and_what_a_crash_can_lose(fit, tmp_path, capsys):
    checkpoint = ModelCheckpoint(tmp_path / "last.keras", save_freq=Budget(0.5), verbose=1)
    fit(build(), [checkpoint, Slow()], epochs=3)
    told = capsys.readouterr().out
    assert "to cost 50 % of training time; a crash loses at most one interval of training" in told
    assert len(checkpoint.stats) >= 2


def other_process(*trainings):
    """Train in another process, once for each path and its options; return the line that each training printed."""
    script = """
        import keras, lastgood, sys, warnings
        import numpy as np
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        for path, options in eval(sys.argv[1]):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    model.fit(np.zeros((4, 4)), np.zeros((4, 1)), verbose=0, callbacks=[
                        lastgood.ModelCheckpoint(path, **options)])
                except lastgood.RunInUseError as error:
                    print("refused:", error)
                else:
                    print([str(each.message) for each in caught if "Another training" in str(each.message)])
    """
    done = children.run(["-c", textwrap.dedent(script), [(str(path), given) for path, given in trainings]])
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_second_process_with_the_same_template_is_refused_or_warned_before_it_trains(fit, tmp_path):
    found = []
    same, other = tmp_path / "{epoch}.keras", tmp_path / "other-{epoch}.keras"
    trainings = [(same, {"keep_last": 1}), (same, {"resume": True}), (other, {"keep_last": 1}), (same, {})]

    class Start(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                found.extend(other_process(*trainings))

    fit(build(), [ModelCheckpoint(same, keep_last=3), Start()], epochs=2)
    assert found[0].startswith("refused: Another training saves to")
    assert found[1].startswith("refused: Another training saves to")
    assert found[2] == "[]"
    assert "Another training saves to" in found[3]


def test_a_second_process_without_retention_or_resume_is_only_warned(fit, tmp_path, names):
    found = []

    class Start(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            found.extend(other_process((tmp_path / "run/{epoch}.keras", {})))

    fit(build(), [ModelCheckpoint(tmp_path / "run/{epoch}.keras"), Start()], epochs=1)
    assert "Each will overwrite checkpoints of the other" in found[0]
    assert names(tmp_path / "run") == ["1.keras"]


def test_with_default_options_the_directory_holds_only_checkpoints(fit, tmp_path, names):
    fit(build(), [ModelCheckpoint(tmp_path / "{epoch}.keras")], epochs=2)
    assert names(tmp_path) == ["1.keras", "2.keras"]


def test_tensorboard_shows_checkpoints(fit, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = keras.callbacks.TensorBoard(tmp_path / "logs")
    fit(build(), [ModelCheckpoint(tmp_path / "{epoch}.keras"), board], epochs=3)
    events = accumulator.EventAccumulator(str(tmp_path / "logs/checkpoints"))
    events.Reload()
    assert [event.step for event in events.Tensors("checkpoint size in MB")] == [10, 20, 30]
    assert "checkpoint loss" in events.Tags()["tensors"]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_mlflow_gets_the_list_of_checkpoints(fit, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    fit(build(), [ModelCheckpoint(tmp_path / "run/{epoch}.keras")], epochs=2)
    with mlflow.start_run():
        open_run(tmp_path / "run").log_to_mlflow(files=True)
        logged = mlflow.artifacts.load_dict(f"{mlflow.get_artifact_uri()}/lastgood/checkpoints.json")
        names = {each.path for each in mlflow.artifacts.list_artifacts(mlflow.get_artifact_uri("lastgood"))}
    assert [each["step"] for each in logged["checkpoints"]] == [10, 20]
    assert names == {f"lastgood/{name}" for name in ("checkpoints.json", "1.keras", "2.keras")}

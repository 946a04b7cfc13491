"""Schedules and policies, lastgood's and custom ones, decide when to save and what to keep."""

import pytest

import lastgood
from helpers.crashing import CrashAt, assert_alike, build, crash, start
from helpers.kit import keras
from lastgood import Epochs, ModelCheckpoint, Schedule, open_run

pytestmark = pytest.mark.any_backend


def epochs(directory):
    return [each.epoch for each in open_run(directory).checkpoints]


def steps(directory):
    return [each.step for each in open_run(directory).checkpoints]


class EveryThird:
    """A schedule that is not a subclass of ``Schedule`` and has only the required method."""

    def __init__(self):
        self.asked = []

    def due(self, moment):
        self.asked.append(moment.hook)
        return moment.hook == "epoch" and moment.epoch % 3 == 0


class AtBatches:
    """Saves at every seventh batch of training, which it counts itself."""

    hooks = ("batch",)

    def __init__(self):
        self.count = 0

    def due(self, moment):
        self.count += 1
        return self.count % 7 == 0

    def get_state(self):
        return {"count": self.count}

    def set_state(self, state):
        self.count = state["count"]


class AtBatchesToo(AtBatches, Schedule):
    """The same schedule as a subclass of ``Schedule``."""


class Even:
    """A policy that keeps the checkpoints of even epochs."""

    def __init__(self):
        self.contexts = []

    def should_keep(self, records, context):
        self.contexts.append(context)
        return [record.epoch % 2 == 0 for record in records]


# Epochs


def test_every_second_epoch_is_saved(fit, tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", save_freq=Epochs(2))
    fit(build(), [checkpoint], epochs=5)
    assert epochs(tmp_path) == [2, 4]
    assert checkpoint.epochs_since_last_save == 1


def test_two_callbacks_that_share_a_schedule_count_separately(fit, tmp_path):
    every = Epochs(2)
    both = [ModelCheckpoint(tmp_path / name / "{epoch}.keras", save_freq=every) for name in ("a", "b")]
    fit(build(), both, epochs=4)
    assert epochs(tmp_path / "a") == epochs(tmp_path / "b") == [2, 4]


def test_the_epoch_count_continues_in_the_next_fit(fit, tmp_path):
    checkpoint, model = ModelCheckpoint(tmp_path / "{epoch}.keras", save_freq=Epochs(2)), build()
    fit(model, [checkpoint], epochs=3)
    fit(model, [checkpoint], epochs=6, initial_epoch=3)
    assert epochs(tmp_path) == [2, 4, 6]


def test_the_epoch_count_continues_after_a_restart(fit, tmp_path):
    """Training resumes from another callback's checkpoint, when one epoch has already been counted."""

    def callbacks(*more):
        rare = ModelCheckpoint(tmp_path / "rare/{epoch}.keras", save_freq=Epochs(2), resume=True)
        often = ModelCheckpoint(tmp_path / "often/{epoch}-{batch}.keras", save_freq=4, resume=True)
        return [rare, often, *more]

    crash(fit, callbacks(CrashAt(batch=15)), epochs=4)
    resumed = start(fit, callbacks(), epochs=4)
    assert epochs(tmp_path / "rare") == [2, 4]
    assert_alike(start(fit, [], other=False, epochs=4), resumed)


# Custom schedules


def test_an_object_with_only_a_due_method_is_a_schedule(fit, tmp_path):
    schedule = EveryThird()
    fit(build(), [ModelCheckpoint(tmp_path / "{epoch}.keras", save_freq=schedule)], epochs=7)
    assert epochs(tmp_path) == [3, 6]
    assert (schedule.asked.count("batch"), schedule.asked.count("epoch")) == (70, 7)


def test_an_object_with_only_a_due_method_works_after_a_restart(fit, tmp_path):
    def checkpoint():
        return ModelCheckpoint(tmp_path / "{epoch}.keras", save_freq=EveryThird(), resume=True)

    crash(fit, [checkpoint(), CrashAt(batch=45)], epochs=6)
    resumed = start(fit, [checkpoint()], epochs=6)
    assert epochs(tmp_path) == [3, 6]
    assert_alike(start(fit, [], other=False, epochs=6), resumed)


def test_a_schedule_with_only_the_epoch_hook_is_not_called_at_batches(fit, tmp_path):
    schedule = EveryThird()
    schedule.hooks = ("epoch",)
    fit(build(), [ModelCheckpoint(tmp_path / "{epoch}.keras", save_freq=schedule)], epochs=3)
    assert schedule.asked == ["epoch"] * 3
    assert epochs(tmp_path) == [3]


@pytest.mark.parametrize("schedule", [AtBatches, AtBatchesToo])
def test_a_custom_batch_schedule_saves_at_its_batches(fit, tmp_path, schedule):
    fit(build(), [ModelCheckpoint(tmp_path / "{epoch}-{batch}.keras", save_freq=schedule())], epochs=3)
    assert steps(tmp_path) == [7, 14, 21, 28]


@pytest.mark.parametrize("schedule", [AtBatches, AtBatchesToo])
def test_a_custom_batch_schedule_continues_its_count_after_a_restart(fit, tmp_path, schedule):
    """Training resumes from another callback's checkpoint, between two of its own."""

    def callbacks(*more):
        own = ModelCheckpoint(tmp_path / "own/{epoch}-{batch}.keras", save_freq=schedule(), resume=True)
        often = ModelCheckpoint(tmp_path / "often/{epoch}-{batch}.keras", save_freq=4, resume=True)
        return [own, often, *more]

    crash(fit, callbacks(CrashAt(batch=17)))
    resumed = start(fit, callbacks())
    assert steps(tmp_path / "own") == [7, 14, 21, 28]
    assert_alike(start(fit, [], other=False), resumed)


def test_a_schedule_receives_the_start_and_end_of_each_save(fit, tmp_path):
    class Listens(EveryThird):
        def __init__(self):
            super().__init__()
            self.took = []

        def saved(self, started, ended):
            self.took.append(ended - started)

    schedule = Listens()
    fit(build(), [ModelCheckpoint(tmp_path / "{epoch}.keras", save_freq=schedule)], epochs=6)
    assert len(schedule.took) == 2
    assert min(schedule.took) > 0


def test_a_schedule_without_a_due_method_is_rejected(tmp_path):
    with pytest.raises(lastgood.ArgumentError, match="Unrecognized save_freq"):
        ModelCheckpoint(tmp_path / "{epoch}.keras", save_freq=Even())


# Custom policies


def test_a_custom_policy_keeps_its_choice_plus_the_latest_and_the_best(fit, tmp_path):
    policy = Even()
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", monitor="loss", keep=policy)
    losses = fit(build(), [checkpoint], epochs=5).history["loss"]
    best = min(range(5), key=losses.__getitem__) + 1
    assert epochs(tmp_path) == sorted({2, 4, 5, best})
    assert {(context.monitor, context.mode) for context in policy.contexts} == {("loss", "min")}


def test_a_custom_policy_keeps_more_than_keep_last_alone(fit, tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", monitor="loss", keep=Even(), keep_last=2)
    losses = fit(build(), [checkpoint], epochs=6).history["loss"]
    assert epochs(tmp_path) == sorted({2, 4, 5, 6, min(range(6), key=losses.__getitem__) + 1})


def test_a_custom_policy_sees_checkpoints_saved_before_a_restart(fit, tmp_path):
    def checkpoint(policy):
        return ModelCheckpoint(tmp_path / "{epoch}.keras", monitor="none", mode="min", keep=policy, resume=True)

    crash(fit, [checkpoint(Even()), CrashAt(batch=35)], epochs=5)
    assert epochs(tmp_path) == [2, 3]
    start(fit, [checkpoint(Even())], epochs=5)
    assert epochs(tmp_path) == [2, 4, 5]


@pytest.mark.parametrize("before", [5, "epoch", lastgood.Epochs(2), lastgood.Budget(0.5)])
@pytest.mark.parametrize(
    ("after", "steps"),
    [
        (4, [24, 28, 32, 36, 40]),
        ("epoch", [30, 40]),
        (lastgood.Epochs(3), [40]),  # by save_last: it counts from the restart
        (lastgood.Budget(0.1), None),  # depends on how long saves take
    ],
    ids=str,
)
def test_a_restart_can_use_another_schedule(fit, tmp_path, make_model, before, after, steps):
    path = tmp_path / "m.weights.h5"
    options = {"save_weights_only": True, "save_last": True, "resume": True}
    fit(make_model(), [lastgood.ModelCheckpoint(path, save_freq=before, **options)], epochs=2)
    trained, saved = [], []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: trained.append(batch))
    checkpoint = lastgood.ModelCheckpoint(path, save_freq=after, on_save=saved.append, **options)
    history = fit(make_model(), [checkpoint, watch], epochs=4)
    assert len(trained) == 20
    assert history.epoch == [0, 1, 2, 3]
    assert steps is None or [each.step for each in saved if each.step > 20] == steps

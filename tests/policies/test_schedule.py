"""When a save is due: what users pass, and what each schedule answers to the hooks of a training."""

from datetime import timedelta

import numpy as np
import pytest

import lastgood
from lastgood import ArgumentError, Budget, Epochs, Schedule
from lastgood._moment import Moment
from lastgood._policies.schedule import Batches, Interval, parse_schedule, whole_number


class OnlyDue:
    """A custom schedule with only the required method."""

    def due(self, moment):
        return moment.hook == "batch" and moment.batch == 2


class WithState:
    """A custom schedule with every optional method."""

    hooks = ("epoch",)

    def __init__(self):
        self.seen, self.told = 0, []

    def due(self, moment):
        self.seen += 1
        return self.seen % 2 == 0

    def begin(self, now):
        self.told.append(("begin", now))

    def saved(self, started, ended):
        self.told.append(("saved", started, ended))

    def news(self):
        return f"seen {self.seen}"

    def get_state(self):
        return {"seen": self.seen}

    def set_state(self, state):
        self.seen = state["seen"]


class AtPowersOfTwo(Schedule):
    """A custom schedule that subclasses Schedule."""

    def due(self, moment):
        return moment.hook == "batch" and moment.step & (moment.step - 1) == 0


class EveryOther(Schedule):
    """A subclass with state."""

    hooks = ("epoch",)

    def __init__(self):
        self.seen = 0

    def due(self, moment):
        self.seen += 1
        return self.seen % 2 == 0

    def get_state(self):
        return {"seen": self.seen}

    def set_state(self, state):
        self.seen = state["seen"]


@pytest.mark.parametrize(
    ("given", "kind", "attributes"),
    [
        ("epoch", Epochs, {"every": 1}),
        (Epochs(), Epochs, {"every": 1}),
        (Epochs(5), Epochs, {"every": 5}),
        (Epochs(np.int64(5)), Epochs, {"every": 5}),
        (1, Batches, {"every": 1}),
        (500, Batches, {"every": 500}),
        (np.int64(3), Batches, {"every": 3}),
        (np.uint8(3), Batches, {"every": 3}),
        (timedelta(minutes=10), Interval, {"seconds": 600.0}),
        (timedelta(milliseconds=1), Interval, {"seconds": 0.001}),
        (Budget(), Budget, {"overhead": 0.01}),
        (Budget(overhead=0.05), Budget, {"overhead": 0.05}),
        (AtPowersOfTwo(), AtPowersOfTwo, {"hooks": ("batch", "epoch")}),
        (EveryOther(), EveryOther, {"hooks": ("epoch",)}),
        (OnlyDue(), Schedule, {"hooks": ("batch", "epoch")}),
        (WithState(), Schedule, {"hooks": ("epoch",)}),
    ],
)
def test_a_valid_save_freq_becomes_a_schedule(given, kind, attributes):
    schedule = parse_schedule(given)
    assert isinstance(schedule, kind)
    assert {name: getattr(schedule, name) for name in attributes} == attributes


@pytest.mark.parametrize(
    "given",
    [
        *("batch", "", 0, -1, True, False, 1.5, 2.0, None, np.float32(2), [3], object()),
        *(timedelta(), timedelta(seconds=-1)),
        *(Epochs, Budget, OnlyDue),  # a class in place of an instance
    ],
)
def test_an_invalid_save_freq_is_refused(given):
    with pytest.raises(ValueError, match="Unrecognized save_freq: ") as caught:
        parse_schedule(given)
    assert isinstance(caught.value, ArgumentError)


def test_a_period_applies_only_to_epochs():
    assert parse_schedule("epoch", 3).every == 3
    assert parse_schedule(7, 3).every == 7


@pytest.mark.parametrize("given", [0, -2, True, "2", 1.0])
def test_a_number_of_epochs_must_be_a_positive_integer(given):
    with pytest.raises(ArgumentError, match="Unrecognized period"):
        whole_number("period", given, "epochs")
    with pytest.raises(ArgumentError, match="Unrecognized every"):
        Epochs(given)


@pytest.mark.parametrize("share", [0, 1, -0.1, 2, True])
def test_a_budget_must_be_a_fraction_between_zero_and_one(share):
    with pytest.raises(ArgumentError, match="Unrecognized overhead"):
        Budget(share)


def test_all_schedules_but_epochs_use_the_batch_hook():
    assert ["batch" in parse_schedule(each).hooks for each in ("epoch", 1, timedelta(1), Budget())] == [0, 1, 1, 1]


# When saves are due


def hooks(epochs, first=1):
    """Yield the moments of a training; each epoch is given as the counts of batches done when its hooks are called."""
    for epoch, batches in enumerate(epochs, first):
        yield "begin"
        for batch in batches:
            yield Moment(epoch, batch, "batch")
        yield Moment(epoch, None, "epoch")


def due_at(schedule, moments):
    """Return the places where a schedule is due when it is asked as a callback asks it."""
    due = []
    for moment in moments:
        if moment == "begin":
            schedule.begin(0.0)
        elif moment.hook in schedule.hooks and schedule.due(moment):
            due.append(moment.place)
    return due


@pytest.mark.parametrize(
    ("every", "epochs", "due"),
    [
        (1, 3, [1, 2, 3]),
        (2, 5, [2, 4]),
        (5, 4, []),
        (5, 11, [5, 10]),
    ],
)
def test_epochs_are_due_every_nth_epoch(every, epochs, due):
    schedule = parse_schedule(Epochs(every))
    assert due_at(schedule, hooks([[1, 2]] * epochs)) == [(epoch, None) for epoch in due]
    assert schedule.since == epochs % every


def test_epochs_are_counted_across_fits():
    schedule = parse_schedule(Epochs(5))
    assert due_at(schedule, hooks([[1]] * 3)) == []
    assert due_at(schedule, hooks([[1]] * 3)) == [(2, None)]  # epochs start at 1 again
    assert not schedule.due(Moment(1, 1, "batch"))
    assert schedule.since == 1


@pytest.mark.parametrize(
    ("every", "epochs", "due"),
    [
        (1, [[1, 2, 3]], [(1, 1), (1, 2), (1, 3)]),
        (2, [[1, 2, 3], [1, 2, 3]], [(1, 2), (2, 1), (2, 3)]),  # counted across epochs
        (5, [[1, 2, 3], [1, 2, 3]], [(2, 2)]),
        (7, [[1, 2, 3]] * 5, [(3, 1), (5, 2)]),
        (1, [[1], [1], [1]], [(1, 1), (2, 1), (3, 1)]),  # one batch an epoch: the index never grows
        (2, [[1], [1], [1], [1]], [(2, 1), (4, 1)]),
        (7, [[7, 10], [7, 10]], [(1, 7), (2, 7)]),  # steps_per_execution=7: the last chunk holds 3
        (10, [[7, 10], [7, 10]], [(1, 10), (2, 10)]),
        (8, [[7, 10], [7, 10]], [(1, 10), (2, 10)]),  # 10 at the save; the 2 beyond 8 are not carried over
        (12, [[7, 10], [7, 10]], [(2, 7)]),
        (9, [[1, 2], [7, 10]], [(2, 7)]),  # a fit cut short, then one with longer chunks
        (9, [[7, 10], [1, 2]], [(1, 10)]),
        (12, [[7, 10], [1, 2]], [(2, 2)]),
    ],
)
def test_batches_are_due_every_nth_batch_across_epochs(every, epochs, due):
    assert due_at(parse_schedule(every), hooks(epochs)) == due


@pytest.mark.parametrize(
    ("every", "fits", "due"),
    [
        (8, [[[1, 2, 3, 4, 5]], [[1, 2, 3, 4, 5]]], [[], [(1, 3)]]),
        (3, [[[1, 2], [1, 2]], [[1, 2], [1, 2]]], [[(2, 1)], [(1, 2)]]),
        (6, [[[4, 5]], [[4, 5]], [[4, 5]]], [[], [(1, 4)], [(1, 5)]]),
        (2, [[[1]], [[1]], [[1]], [[1]]], [[], [(1, 1)], [], [(1, 1)]]),
    ],
)
def test_batches_are_counted_across_fits(every, fits, due):
    schedule = parse_schedule(every)
    assert [due_at(schedule, hooks(epochs)) for epochs in fits] == due


def test_batches_are_counted_without_a_call_of_begin():
    """As when hooks are called by hand."""
    moments = [moment for moment in hooks([[1, 2, 3], [1, 2, 3], [2, 4]]) if moment != "begin"]
    assert due_at(parse_schedule(4), moments) == [(2, 1), (3, 2)]


def test_a_batch_schedule_ignores_other_hooks():
    schedule = parse_schedule(1)
    assert not schedule.due(Moment(1, None, "epoch"))
    assert not schedule.due(Moment(1, 3, "validation"))
    assert schedule.due(Moment(1, 3, "batch"))


def train(schedule, batches, seconds, held=0.0, slowed=0.0, busy=0):
    """Return the times of the saves and the end of a training; the ``busy`` batches after a save are slowed down."""
    now, saves, left = 0.0, [], 0
    schedule.begin(now)
    for batch in range(1, batches + 1):
        now += seconds + (slowed if left else 0.0)
        due = schedule.due(Moment(1, batch, "batch", now, left > 0))
        left = max(0, left - 1)
        if due:
            saves.append(now)
            schedule.saved(now, now + held)
            now += held
            left = busy
    return saves, now


@pytest.mark.parametrize(
    ("span", "seconds", "held", "saves"),
    [
        (10, 1.0, 0.0, [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0]),
        (30, 1.0, 0.0, [30.0, 60.0, 90.0]),
        (10, 4.0, 0.0, [12.0 * count for count in range(1, 34)]),  # at the first batch that ends after the time
        (30, 1.0, 5.0, [30.0, 65.0, 100.0]),  # from the end of a save to the next
        (1000, 1.0, 0.0, []),
    ],
)
def test_saves_are_a_timedelta_apart(span, seconds, held, saves):
    assert train(parse_schedule(timedelta(seconds=span)), 100, seconds, held)[0] == saves


def test_a_timedelta_continues_across_epochs():
    schedule, due = parse_schedule(timedelta(seconds=25)), []
    for epoch in range(1, 6):
        schedule.begin(10.0 * (epoch - 1))
        for batch in range(1, 11):
            moment = Moment(epoch, batch, "batch", 10.0 * (epoch - 1) + batch)
            if schedule.due(moment):
                due.append(moment.at)
                schedule.saved(moment.at, moment.at)
        assert not schedule.due(Moment(epoch, None, "epoch", 1000.0))
    assert due == [25.0, 50.0]


def test_a_budget_holds_and_includes_batches_slowed_by_saves():
    schedule = parse_schedule(Budget(0.02))
    saves, end = train(schedule, 20_000, 1.0, held=1.0, slowed=0.25, busy=4)
    assert saves[0] == 10.0
    assert schedule.cost == pytest.approx(2.0)
    assert 0.015 < 2.0 * len(saves) / end <= 0.02


@pytest.mark.parametrize(
    ("share", "held", "interval"),
    [(0.01, 1.0, 100.0), (0.5, 1.0, 2.0), (0.01, 0.1, 10.0)],
)
def test_the_interval_of_a_budget_follows_from_the_cost_of_a_save(share, held, interval):
    schedule = parse_schedule(Budget(share))
    assert (schedule.cost, schedule.interval, schedule.news()) == (None, None, None)
    train(schedule, 500, 1.0, held=held)
    assert schedule.cost == pytest.approx(held)
    assert schedule.interval == pytest.approx(interval)
    assert f"{interval:.1f} s apart" in schedule.news()
    assert schedule.news() is None  # it is reported only once


def test_time_between_epochs_is_not_a_cost_of_saving():
    schedule = parse_schedule(Budget(0.5))
    for epoch in range(20):
        schedule.begin(epoch * 100.0)
        for batch in range(1, 11):
            schedule.due(Moment(epoch + 1, batch, "batch", epoch * 100.0 + batch))
    schedule.saved(3000.0, 3000.5)
    schedule.begin(3100.0)
    schedule.due(Moment(21, 1, "batch", 3150.0, saving=True))
    assert schedule.cost == 0.5


# Custom schedules


@pytest.mark.parametrize(
    ("schedule", "due"),
    [
        (OnlyDue(), [(1, 2), (2, 2)]),
        (WithState(), [(2, None)]),
        (EveryOther(), [(2, None)]),
    ],
)
def test_custom_schedules_decide_when_saves_are_due(schedule, due):
    assert due_at(parse_schedule(schedule), hooks([[1, 2, 3], [1, 2, 3]])) == due


def test_the_step_is_read_from_the_device_only_if_the_schedule_uses_it():
    asked = []

    def moment(step):
        return Moment(1, step, "batch", _step=lambda: asked.append(step) or step)

    schedule = parse_schedule(AtPowersOfTwo())
    assert [step for step in range(1, 20) if schedule.due(moment(step))] == [1, 2, 4, 8, 16]
    assert asked == list(range(1, 20))
    assert parse_schedule(1).due(moment(99))
    assert 99 not in asked


def test_a_custom_schedule_gets_each_call_that_it_has_a_method_for():
    own = WithState()
    schedule = parse_schedule(own)
    schedule.begin(1.0)
    schedule.saved(2.0, 3.0)
    assert own.told == [("begin", 1.0), ("saved", 2.0, 3.0)]
    assert schedule.news() == "seen 0"
    schedule = parse_schedule(OnlyDue())
    schedule.begin(1.0)
    schedule.saved(2.0, 3.0)
    schedule.set_state({"seen": 3})
    assert (schedule.news(), schedule.get_state()) == (None, {})


@pytest.mark.parametrize("given", [Epochs(2), EveryOther()])
def test_one_schedule_in_two_callbacks_counts_separately(given):
    one, other = parse_schedule(given), parse_schedule(given)
    epoch = Moment(1, None, "epoch")
    assert [one.due(epoch), other.due(epoch), one.due(epoch), other.due(epoch)] == [False, False, True, True]
    assert parse_schedule(given).due(epoch) is False


# State for a restart

TRAINING = [[1, 2, 3]] * 7


@pytest.mark.parametrize(
    "make",
    [
        lambda: 1,
        lambda: 2,
        lambda: 5,
        lambda: 7,
        OnlyDue,
        WithState,
        EveryOther,
        lambda: Epochs(1),
    ],
)
def test_the_count_survives_a_restart_between_any_two_epochs(make):
    whole = due_at(parse_schedule(make()), hooks(TRAINING))
    for epochs in range(len(TRAINING)):
        before, after = parse_schedule(make()), parse_schedule(make())
        due = due_at(before, hooks(TRAINING[:epochs]))
        state = before.get_state()
        after.set_state(state)
        assert after.get_state() == state
        assert due + due_at(after, hooks(TRAINING[epochs:], first=epochs + 1)) == whole


@pytest.mark.parametrize("every", [1, 2, 4, 5, 7])
@pytest.mark.parametrize("done", [1, 2])
def test_batches_before_a_restart_within_an_epoch_are_not_counted_twice(every, done):
    whole = due_at(parse_schedule(every), hooks(TRAINING))
    before, after = parse_schedule(every), parse_schedule(every)
    moments = list(hooks(TRAINING))
    middle = moments.index(Moment(3, done, "batch")) + 1
    due = due_at(before, moments[:middle])
    after.begin(0.0)  # the epoch begins; its first batches ran before the restart
    after.set_state(before.get_state())
    assert due + due_at(after, moments[middle:]) == whole


def test_the_state_of_batches_keeps_the_format_of_older_checkpoints():
    schedule = parse_schedule(5)
    due_at(schedule, hooks([[1, 2, 3]]))
    assert schedule.get_state() == {"since_save": 3, "last": 2}
    schedule.begin(0.0)
    assert schedule.get_state() == {"since_save": 3, "last": None}


def test_schedules_are_public_and_have_a_repr():
    assert {"Schedule", "Epochs", "Budget", "Moment"} <= set(lastgood.__all__)
    assert repr(Epochs(5)) == "Epochs(5)"
    assert repr(Budget(0.05)) == "Budget(overhead=0.05)"

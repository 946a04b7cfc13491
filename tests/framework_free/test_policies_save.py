from datetime import timedelta

import numpy as np
import pytest

from lastgood import ArgumentError, Budget
from lastgood._policies.save import BatchCount, Pace, parse_period, parse_save_freq


@pytest.mark.parametrize(
    ("given", "wanted"), [("epoch", "epoch"), (1, 1), (500, 500), (np.int64(3), 3), (np.uint8(3), 3)]
)
def test_save_freq_takes_epoch_and_integers_of_any_kind(given, wanted):
    assert parse_save_freq(given) == wanted


@pytest.mark.parametrize("given", ["batch", "", 0, -1, True, False, 1.5, 2.0, None, np.float32(2), [3], object()])
def test_save_freq_refuses_the_rest(given):
    with pytest.raises(ValueError, match="Unrecognized save_freq: "):
        parse_save_freq(given)


@pytest.mark.parametrize("given", [0, -2, True, "2", 1.0])
def test_period_refuses_all_but_integers_above_zero(given):
    with pytest.raises(ArgumentError, match="Unrecognized period"):
        parse_period(given)


def _saves(every, epochs, steps=None):
    """Return (epoch, batch) of each save, for epochs given as the batch indices at which hooks arrive."""
    count, due = BatchCount(), []
    for epoch, batches in enumerate(epochs):
        count = count.at_epoch_begin()
        for batch in batches:
            count = count.after(batch, steps)
            if count.since_save >= every:
                count = count.saved()
                due.append((epoch, count.last))
    return due


@pytest.mark.parametrize(
    ("every", "epochs", "due"),
    [
        (1, [[0, 1, 2]], [(0, 0), (0, 1), (0, 2)]),
        (2, [[0, 1, 2], [0, 1, 2]], [(0, 1), (1, 0), (1, 2)]),  # counted across epochs
        (5, [[0, 1, 2], [0, 1, 2]], [(1, 1)]),
        (7, [range(3)] * 5, [(2, 0), (4, 1)]),
        (1, [[0], [0], [0]], [(0, 0), (1, 0), (2, 0)]),  # one batch an epoch: the index never grows
        (7, [[6, 9], [6, 9]], [(0, 6), (1, 6)]),  # steps_per_execution=7: the last chunk holds 3
        (10, [[6, 9], [6, 9]], [(0, 9), (1, 9)]),
        (8, [[6, 9], [6, 9]], [(0, 9), (1, 9)]),  # 10 seen at the save, and the 2 beyond 8 are not kept
        (9, [[0, 1], [6, 9]], [(1, 6)]),  # a fit cut short, then one with longer chunks
    ],
)
def test_batches_are_counted_truly(every, epochs, due):
    assert _saves(every, epochs) == due


@pytest.mark.parametrize(("every", "due"), [(7, [(0, 6), (1, 6)]), (10, [(0, 9), (1, 9)]), (12, [(1, 6)])])
def test_a_short_last_chunk_whose_hook_has_the_index_of_a_full_one_counts_what_it_holds(every, due):
    assert _saves(every, [[6, 13], [6, 13]], steps=10) == due


@pytest.mark.parametrize("given", [timedelta(minutes=10), Budget(0.05)])
def test_save_freq_takes_time_and_budgets(given):
    assert parse_save_freq(given) is given


@pytest.mark.parametrize("given", [timedelta(), timedelta(seconds=-1)])
def test_save_freq_refuses_no_time(given):
    with pytest.raises(ArgumentError, match="Unrecognized save_freq"):
        parse_save_freq(given)


@pytest.mark.parametrize("share", [0, 1, -0.1, 2, True])
def test_a_budget_is_a_share(share):
    with pytest.raises(ArgumentError, match="Unrecognized overhead"):
        Budget(share)


def _train(pace, batches, seconds, held=0.0, slowed=0.0, busy=0):
    """Return the times of saves in a training of so many batches; the ``busy`` batches behind a save are slowed."""
    now, saves, left = 0.0, [], 0
    pace.begin(now)
    for _ in range(batches):
        now += seconds + (slowed if left else 0.0)
        pace.batch(now, saving=left > 0)
        left = max(0, left - 1)
        if pace.due(now):
            saves.append(now)
            pace.saved(now, now + held)
            now += held
            left = busy
    return saves, now


def test_saves_are_a_timedelta_apart():
    saves, _ = _train(Pace(timedelta(seconds=10)), 100, 1.0)
    assert saves == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0]


def test_a_budget_is_kept_and_what_saves_slow_down_counts():
    pace = Pace(Budget(0.02))
    saves, end = _train(pace, 20_000, 1.0, held=1.0, slowed=0.25, busy=4)
    assert saves[0] == 10.0
    assert pace.cost == pytest.approx(2.0)
    assert 0.015 < 2.0 * len(saves) / end <= 0.02


def test_the_time_between_epochs_is_nobodys_cost():
    pace = Pace(Budget(0.5))
    for epoch in range(20):
        pace.begin(epoch * 100.0)
        for batch in range(1, 11):
            pace.batch(epoch * 100.0 + batch, saving=False)
    pace.saved(3000.0, 3000.5)
    pace.begin(3100.0)
    pace.batch(3150.0, saving=True)
    assert pace.cost == 0.5

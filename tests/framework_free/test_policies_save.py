import numpy as np
import pytest

from lastgood import ArgumentError
from lastgood._policies.save import BatchCount, parse_period, parse_save_freq


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

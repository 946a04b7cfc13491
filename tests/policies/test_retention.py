from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastgood import ArgumentError
from lastgood._policies.retention import Context, Retention, rank
from lastgood._record import Record

NAN = float("nan")


def record(step, value=None, created=None):
    metrics = {} if value is None else {"val_loss": value}
    return Record(step, 1, None, metrics, "keras", float(step if created is None else created))


def kept(records, mode="min", pinned=(), **policy):
    """Return the steps that survive."""
    context = Context("val_loss", mode, [each.step in pinned for each in records])
    keep = Retention.parse(**policy).should_keep(records, context)
    return [each.step for each, stays in zip(records, keep, strict=True) if stays]


RUN = [record(step, value) for step, value in enumerate([5.0, 3.0, 4.0, 1.0, 2.0, NAN, None, 9.0], 1)]


@pytest.mark.parametrize(
    ("policy", "steps"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"keep_last": 1}, [4, 8]),  # the best stays all the same
        ({"keep_last": 3}, [4, 6, 7, 8]),
        ({"keep_last": 99}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"keep_best": 1}, [4, 8]),  # and so does the latest
        ({"keep_best": 3}, [2, 4, 5, 8]),
        ({"keep_best": 99}, [1, 2, 3, 4, 5, 8]),  # what has no metric, or NaN, is in no order
        ({"keep_best": 2, "mode": "max"}, [1, 8]),
        ({"keep_every": 3}, [3, 4, 6, 8]),
        ({"keep_every": timedelta(seconds=4)}, [1, 4, 8]),
        ({"keep_last": 2, "keep_best": 2, "keep_every": 6}, [4, 5, 6, 7, 8]),
        ({"keep_last": 1, "pinned": {1, 7}}, [1, 4, 7, 8]),
    ],
)
def test_the_union_survives_and_the_best_the_latest_and_the_pinned(policy, steps):
    assert kept(RUN, **policy) == steps


def test_every_nth_step_is_the_first_at_or_after_a_multiple():
    run = [record(step) for step in (40, 90, 140, 190, 240, 290, 340)]
    assert kept(run, keep_every=100) == [140, 240, 340]


def test_of_equals_the_earlier_is_better():
    assert kept([record(step, 1.0) for step in (1, 2, 3)], keep_best=1) == [1, 3]


def test_rank_is_from_the_best_on():
    assert [RUN[i].step for i in rank(RUN, "val_loss", "min")] == [4, 5, 2, 3, 1, 8]


@pytest.mark.parametrize(
    "policy",
    [{"keep_last": 0}, {"keep_best": -1}, {"keep_last": True}, {"keep_every": 1.5}, {"keep_every": timedelta()}],
)
def test_what_cannot_be_meant_is_refused(policy):
    with pytest.raises(ArgumentError, match=f"Unrecognized {next(iter(policy))}"):
        Retention.parse(**policy)


# The user's own policy


class Own:
    """Keeps the steps that it is made of, and remembers what it was asked."""

    def __init__(self, *steps):
        self.steps, self.asked = steps, []

    def should_keep(self, records, context):
        self.asked.append((records, context))
        return [each.step in self.steps for each in records]


class Answering:
    """Answers what it is made of, whatever it is asked."""

    def __init__(self, answer):
        self.answer = answer

    def should_keep(self, records, context):
        return self.answer


@pytest.mark.parametrize(
    ("policy", "steps"),
    [
        ({"keep": Own()}, [4, 8]),  # the best and the latest stay, whatever it says
        ({"keep": Own(4, 8)}, [4, 8]),
        ({"keep": Own(1, 6)}, [1, 4, 6, 8]),
        ({"keep": Own(*range(1, 9))}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"keep": Own(2), "mode": "max"}, [2, 8]),
        ({"keep": Own(2), "pinned": {1, 7}}, [1, 2, 4, 7, 8]),
        ({"keep": Own(1), "keep_last": 3}, [1, 4, 6, 7, 8]),
        ({"keep": Own(1), "keep_best": 3}, [1, 2, 4, 5, 8]),
        ({"keep": Own(1), "keep_every": 3}, [1, 3, 4, 6, 8]),
        ({"keep": Own(1), "keep_every": timedelta(seconds=4)}, [1, 4, 8]),
        ({"keep": Own(7), "keep_last": 2, "keep_best": 2, "keep_every": 6, "pinned": {3}}, [3, 4, 5, 6, 7, 8]),
        ({"keep": Answering([1, 0, "", None, 0.0, (), "yes", 0])}, [1, 4, 7, 8]),  # what Python takes for true
        ({"keep": Answering(step % 2 for step in range(1, 9))}, [1, 3, 4, 5, 7, 8]),
        ({"keep": Answering(np.arange(1, 9) < 3)}, [1, 2, 4, 8]),
    ],
)
def test_what_the_users_own_policy_keeps_is_kept_beside_the_rest(policy, steps):
    assert kept(RUN, **policy) == steps


def test_the_users_own_policy_is_asked_for_all_records_as_they_are():
    own = Own()
    kept(RUN[::-1], pinned={2}, keep=own)
    ((records, context),) = own.asked
    assert list(records) == RUN[::-1]
    assert (context.monitor, context.mode) == ("val_loss", "min")
    assert context.pinned == [each.step == 2 for each in RUN[::-1]]


def test_the_users_own_policy_cannot_put_the_records_in_another_order():
    """Its answers would be taken for those of other checkpoints."""

    class Sorting:
        def should_keep(self, records, context):
            records.sort(key=lambda each: each.metrics["val_loss"])

    with pytest.raises(AttributeError, match="sort"):
        kept(RUN, keep=Sorting())


def test_a_policy_of_ones_own_is_one_that_deletes():
    assert Retention.parse(keep=Own()).prunes
    assert not Retention.parse().prunes


class Misnamed:
    def keeps(self, records, context):
        return []


class NoMethod:
    should_keep = True


@pytest.mark.parametrize("keep", [Misnamed(), NoMethod(), 3, "all", True, False, [], lambda records, context: [], Own])
def test_what_is_no_policy_is_refused(keep):
    with pytest.raises(ArgumentError, match=r"Unrecognized keep: .* a method should_keep\(records, context\)"):
        Retention.parse(keep=keep)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ([True] * 7, "returned 7 answers for 8 records"),
        ([True] * 9, "returned 9 answers for 8 records"),
        ([], "returned 0 answers for 8 records"),
        ({1, 2}, "returned 2 answers for 8 records"),
        (None, "returned None for 8 records"),
        (True, "returned True for 8 records"),
    ],
)
def test_an_answer_that_is_not_one_for_each_record_deletes_nothing(answer, told):
    with pytest.raises(ArgumentError, match=told) as caught:
        kept(RUN, keep_last=1, keep=Answering(answer))
    assert "policy <policies.test_retention.Answering object" in str(caught.value)
    assert "one answer, true or false, for each record" in str(caught.value)


numbers = st.none() | st.integers(1, 5)
records = st.lists(
    st.tuples(st.integers(1, 40), st.none() | st.floats(), st.booleans()), max_size=20, unique_by=lambda each: each[0]
)


@given(records, numbers, numbers, st.none() | st.integers(1, 9) | st.just(timedelta(seconds=7)), st.randoms())
def test_what_survives_survives_again_in_any_order(rows, last, best, every, random):
    random.shuffle(rows)
    run = [record(step, value) for step, value, _ in rows]
    pinned = {step for step, _, pin in rows if pin}
    policy = {"keep_last": last, "keep_best": best, "keep_every": every}
    steps = kept(run, pinned=pinned, **policy)
    survivors = [each for each in run if each.step in steps]
    assert kept(survivors, pinned=pinned, **policy) == steps
    assert pinned <= set(steps)
    if run:
        assert max(each.step for each in run) in steps
        assert [run[i].step for i in rank(run, "val_loss", "min")[: best or 1]] == [
            survivors[i].step for i in rank(survivors, "val_loss", "min")[: best or 1]
        ]


@given(records, st.integers(1, 9), st.randoms())
def test_pruning_behind_each_save_keeps_what_pruning_at_the_end_keeps(rows, every, random):
    """So that it does not matter when it happens; of the best only those are compared that still come."""
    rows.sort()
    there = []
    for step, _, _ in rows:
        there.append(record(step))
        there = [each for each in there if each.step in kept(there, keep_last=2, keep_every=every)]
    assert [each.step for each in there] == kept([record(step) for step, _, _ in rows], keep_last=2, keep_every=every)

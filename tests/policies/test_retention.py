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
    """Return the steps that are kept."""
    context = Context("val_loss", mode, [each.step in pinned for each in records])
    keep = Retention.parse(**policy).should_keep(records, context)
    return [each.step for each, stays in zip(records, keep, strict=True) if stays]


RUN = [record(step, value) for step, value in enumerate([5.0, 3.0, 4.0, 1.0, 2.0, NAN, None, 9.0], 1)]


@pytest.mark.parametrize(
    ("policy", "steps"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"keep_last": 1}, [4, 8]),  # the best is always kept
        ({"keep_last": 3}, [4, 6, 7, 8]),
        ({"keep_last": 99}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"keep_best": 1}, [4, 8]),  # and so is the latest
        ({"keep_best": 3}, [2, 4, 5, 8]),
        ({"keep_best": 6}, [1, 2, 3, 4, 5, 8]),  # without the metric, or with NaN, there is no rank
        ({"keep_best": 7}, [1, 2, 3, 4, 5, 7, 8]),  # so these come last, the latest first
        ({"keep_best": 99}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"keep_best": 2, "mode": "max"}, [1, 8]),
        ({"keep_every": 3}, [3, 4, 6, 8]),
        ({"keep_every": timedelta(seconds=4)}, [1, 4, 8]),
        ({"keep_last": 2, "keep_best": 2, "keep_every": 6}, [4, 5, 6, 7, 8]),
        ({"keep_last": 1, "pinned": {1, 7}}, [1, 4, 7, 8]),
    ],
)
def test_retention_keeps_the_union_of_its_rules_plus_best_latest_and_pinned(policy, steps):
    assert kept(RUN, **policy) == steps


def test_keep_every_keeps_the_first_step_at_or_after_each_multiple():
    run = [record(step) for step in (40, 90, 140, 190, 240, 290, 340)]
    assert kept(run, keep_every=100) == [140, 240, 340]


def test_keep_best_keeps_the_latest_while_no_checkpoint_has_the_metric():
    run = [record(step) for step in (1, 2, 3, 4)]
    assert kept(run, keep_best=3) == [2, 3, 4]
    assert kept([*run, record(5, 1.0), record(6, 2.0)], keep_best=3) == [4, 5, 6]


def test_the_earliest_of_equal_values_is_the_best():
    assert kept([record(step, 1.0) for step in (1, 2, 3)], keep_best=1) == [1, 3]


def test_rank_orders_from_best_to_worst():
    assert [RUN[i].step for i in rank(RUN, "val_loss", "min")] == [4, 5, 2, 3, 1, 8]


@pytest.mark.parametrize(
    "policy",
    [{"keep_last": 0}, {"keep_best": -1}, {"keep_last": True}, {"keep_every": 1.5}, {"keep_every": timedelta()}],
)
def test_invalid_retention_arguments_are_refused(policy):
    with pytest.raises(ArgumentError, match=f"Unrecognized {next(iter(policy))}"):
        Retention.parse(**policy)


# Custom policies


class Own:
    """Keeps the steps given to it, and records its calls."""

    def __init__(self, *steps):
        self.steps, self.asked = steps, []

    def should_keep(self, records, context):
        self.asked.append((records, context))
        return [each.step in self.steps for each in records]


class Answering:
    """Always returns the answer given to it."""

    def __init__(self, answer):
        self.answer = answer

    def should_keep(self, records, context):
        return self.answer


@pytest.mark.parametrize(
    ("policy", "steps"),
    [
        ({"keep": Own()}, [4, 8]),  # the best and the latest are kept, whatever it returns
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
        ({"keep": Answering([1, 0, "", None, 0.0, (), "yes", 0])}, [1, 4, 7, 8]),  # by truth value
        ({"keep": Answering(step % 2 for step in range(1, 9))}, [1, 3, 4, 5, 7, 8]),
        ({"keep": Answering(np.arange(1, 9) < 3)}, [1, 2, 4, 8]),
    ],
)
def test_a_custom_policy_adds_to_what_the_other_rules_keep(policy, steps):
    assert kept(RUN, **policy) == steps


def test_a_custom_policy_gets_all_records_unchanged_and_the_context():
    own = Own()
    kept(RUN[::-1], pinned={2}, keep=own)
    ((records, context),) = own.asked
    assert list(records) == RUN[::-1]
    assert (context.monitor, context.mode) == ("val_loss", "min")
    assert context.pinned == [each.step == 2 for each in RUN[::-1]]


def test_a_custom_policy_cannot_reorder_the_records():
    """Its answers would apply to the wrong checkpoints."""

    class Sorting:
        def should_keep(self, records, context):
            records.sort(key=lambda each: each.metrics["val_loss"])

    with pytest.raises(AttributeError, match="sort"):
        kept(RUN, keep=Sorting())


def test_a_custom_policy_makes_retention_prune():
    assert Retention.parse(keep=Own()).prunes
    assert not Retention.parse().prunes


class Misnamed:
    def keeps(self, records, context):
        return []


class NoMethod:
    should_keep = True


@pytest.mark.parametrize("keep", [Misnamed(), NoMethod(), 3, "all", True, False, [], lambda records, context: [], Own])
def test_a_keep_that_is_not_a_policy_is_refused(keep):
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
def test_a_custom_policy_that_does_not_answer_for_each_record_raises(answer, told):
    with pytest.raises(ArgumentError, match=told) as caught:
        kept(RUN, keep_last=1, keep=Answering(answer))
    assert "policy <policies.test_retention.Answering object" in str(caught.value)
    assert "one answer, true or false, for each record, in their order. Nothing was deleted." in str(caught.value)


numbers = st.none() | st.integers(1, 5)
records = st.lists(
    st.tuples(st.integers(1, 40), st.none() | st.floats(), st.booleans()), max_size=20, unique_by=lambda each: each[0]
)


@given(records, numbers, numbers, st.none() | st.integers(1, 9) | st.just(timedelta(seconds=7)), st.randoms())
def test_pruning_again_deletes_nothing_more_whatever_the_order_of_records(rows, last, best, every, random):
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


@given(records, numbers, numbers, st.none() | st.integers(1, 9) | st.just(timedelta(seconds=7)))
def test_pruning_after_each_save_keeps_the_same_as_pruning_at_the_end(rows, last, best, every):
    """So it does not matter when pruning happens."""
    run = [record(step, value) for step, value, _ in sorted(rows, key=lambda each: each[0])]
    policy = {"keep_last": last, "keep_best": best, "keep_every": every}
    policy["pinned"] = {step for step, _, pin in rows if pin}
    there = []
    for each in run:
        there.append(each)
        steps = kept(there, **policy)
        there = [each for each in there if each.step in steps]
    assert [each.step for each in there] == kept(run, **policy)

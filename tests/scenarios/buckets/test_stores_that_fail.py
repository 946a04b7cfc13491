"""A fixed random sample of what `make buckets` tries: faults of a store at a request."""

import random

import pytest

from scenarios.buckets.attempts import ENDINGS
from scenarios.buckets.matrix import cases, stage

MOST = 5  # cases of each ending


@pytest.fixture(scope="module", params=ENDINGS, ids=lambda ending: ending or "directory")
def place(request, seaweedfs):
    if not request.param:
        pytest.importorskip("orbax.checkpoint")
    with stage(seaweedfs) as made:
        made.measure(request.param)
        yield request.param, made


def test_acknowledged_saves_survive_a_failing_store_and_a_restart_is_exact(place):
    ending, made = place
    by_fault = {}
    for case in cases(ending, made.requests[ending]):
        by_fault.setdefault((case.title, case.restart), []).append(case)
    chosen = [random.Random(str(key)).choice(found) for key, found in by_fault.items()]
    wrong = []
    for case in random.Random(0).sample(chosen, min(MOST, len(chosen))):
        finding, _ = made.attempt(case)
        wrong += [f"{case}: {finding}"] if finding else []
    assert wrong == []

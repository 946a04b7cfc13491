"""Hundreds of saves with retention, or thousands with `make soak`: neither the process nor the directory grows."""

import os
import statistics

import pytest

pytestmark = pytest.mark.long

SAVES = int(os.environ.get("LASTGOOD_SOAK", "500"))
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def soaked(tmp_path_factory):
    from scenarios.crowds.conftest import Child

    child = Child("soak", str(tmp_path_factory.mktemp("soak")), SAVES)
    try:
        answer = child.answer()
        assert child.end() == 0
    finally:
        child.close()
    print({name: value for name, value in answer.items() if name != "writes"})
    return answer


def test_memory_does_not_grow_over_many_saves(soaked):
    """Compare a quarter of the saves with all: by then everything that is compiled or cached once is there."""
    _, early, *_, late = (look["memory"] for look in soaked["seen"])
    assert late - early < (8 * MEGABYTE if SAVES < 5000 else 16 * MEGABYTE)


def test_many_saves_leak_no_descriptor_thread_or_file(soaked):
    _, early, *_, late = soaked["seen"]
    for name in ("descriptors", "threads"):
        assert late[name] <= early[name]
    assert {look["temporary"] for look in soaked["seen"]} == {0}
    assert {look["files"] for look in soaked["seen"]} <= {
        4,
        5,
        6,
    }  # the last three, up to two more of the best, and .lastgood
    assert soaked["problems"] == 0


def test_the_last_and_the_best_are_kept_over_many_saves(soaked):
    best = sorted(range(1, SAVES + 1), key=lambda epoch: epoch * 7919 % 10007)[:2]
    assert soaked["steps"] == sorted({*best, SAVES - 2, SAVES - 1, SAVES})


def test_late_saves_take_less_than_three_times_as_long_as_early_ones(soaked):
    """Compare the medians of the first and the last quarter; 5 ms more are allowed, as a busy machine needs them."""
    writes = soaked["writes"]
    part = len(writes) // 4
    assert statistics.median(writes[-part:]) < 3 * statistics.median(writes[:part]) + 0.005


def test_the_journal_grows_by_less_than_two_kilobytes_per_save(soaked):
    assert soaked["seen"][-1]["journal"] < 2000 * SAVES

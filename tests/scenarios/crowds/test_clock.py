"""The clock jumps by years, between starts and in the middle of a run. Debian's faketime does that."""

import os
from pathlib import Path

import pytest

from lastgood import ModelCheckpoint, open_run
from lastgood._storage import LocalStorage
from scenarios.crowds.children import build, fit

YEAR = 365 * 24 * 3600


@pytest.fixture
def faketime(tmp_path_factory):
    """Return the environment of a process whose clock is set by a file, and that file."""
    library = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
    if library is None:
        pytest.skip("Debian's package faketime is not installed")
    clock = tmp_path_factory.mktemp("clock") / "offset"
    clock.write_text("+0")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }, clock


def test_latest_and_retention_go_by_step_even_if_the_clock_jumps(tmp_path, start, faketime):
    environment, clock = faketime
    child = start("jumps", str(tmp_path), str(clock), environment=environment)
    answers = [child.answer() for _ in range(4)]
    assert [answer["epochs"] for answer in answers] == [[1, 2], [2, 3, 4], [2, 4, 5], [2, 7, 8]]
    assert [(answer["latest"], answer["best"]) for answer in answers] == [(2, 2), (4, 2), (5, 2), (8, 2)]
    assert len({answer["run"] for answer in answers}) == 1  # each start resumed the run
    assert [answer["problems"] for answer in answers] == [0] * 4
    made = answers[1]["created"]  # the clock really jumped
    assert made[0] < made[1] - 2 * YEAR
    assert made[2] < made[1] - 2 * YEAR
    seconds, saves = child.answer()  # saves by time go by the monotonic clock, which does not jump
    assert 2 <= saves <= seconds / 0.1 + 1
    _, saves = child.answer()  # by a budget
    assert saves >= 1
    assert child.end() == 0


@pytest.mark.parametrize("years", [-1, 1])
def test_resume_does_not_depend_on_file_times(tmp_path, years):
    for epochs in (1, 2, 3):
        fit(build(1), ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True), epochs)
        path = tmp_path / f"{epochs}.keras"
        then = path.stat().st_mtime + years * YEAR * (4 - epochs)
        os.utime(path, (then, then))
    assert [each.epoch for each in open_run(tmp_path).checkpoints] == [1, 2, 3]
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.keras", resume=True, keep_last=1)
    fit(build(1), checkpoint, 4)
    assert len(checkpoint.stats) == 1
    assert [each.epoch for each in open_run(tmp_path).checkpoints] == [4]


@pytest.mark.parametrize("years", [-1, 1])
def test_a_save_in_progress_is_not_reclaimed_even_if_its_file_times_are_wrong(tmp_path, years):
    with LocalStorage().stage(tmp_path / "m.keras", ".keras") as stage:
        stage.path.write_text("state")
        for path in tmp_path.iterdir():
            then = path.stat().st_mtime + years * YEAR
            os.utime(path, (then, then))
        assert LocalStorage().reclaim(tmp_path) == []
    assert (tmp_path / "m.keras").read_text() == "state"

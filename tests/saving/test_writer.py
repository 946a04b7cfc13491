"""Work in background threads, and the turns that saves take."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from helpers.systems import where_processes_fork
from lastgood._saving import writer
from lastgood._threads import Beside, spread


def _started(work):
    beside = Beside(work, "t")
    beside.start()
    return beside


def test_background_work_returns_its_result_or_raises_its_error():
    assert _started(lambda: 3).result() == 3
    with pytest.raises(ZeroDivisionError):
        _started(lambda: 1 / 0).result()


@pytest.mark.parametrize("when", ["before", "after"])
def test_work_whose_start_is_interrupted_runs_completely_or_not_at_all(monkeypatch, when):
    """Python may raise it between any two bytecode instructions, including those of ``Thread.start``."""
    start, done = threading.Thread.start, []

    def interrupted(thread):
        if when == "after":
            start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    work = Beside(lambda: done.append(True), "t")
    with pytest.raises(KeyboardInterrupt):
        work.start()
    assert work.wait(5)
    monkeypatch.undo()
    time.sleep(0.05)
    assert done in ([], [True]) if when == "after" else done == []


def test_a_save_whose_start_is_interrupted_keeps_its_buffer_until_it_ends(monkeypatch):
    start, log = threading.Thread.start, []

    def interrupted(thread):
        start(thread)
        raise KeyboardInterrupt

    def work():
        log.append("begin")
        time.sleep(0.2)
        log.append("end")

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), writer.turn():
        writer.run(work, background=True)
    monkeypatch.undo()
    with writer.turn():
        assert log in (["begin", "end"], [])


@pytest.mark.parametrize("count", [1, 2, 7])
def test_spread_processes_each_item_exactly_once(count):
    seen = []
    spread(seen.extend, list(range(100)), count)
    assert sorted(seen) == list(range(100))


def test_spread_raises_an_error_only_after_all_threads_have_ended():
    ended = []

    def work(share):
        if share[0] == 1:
            raise ZeroDivisionError
        time.sleep(0.05)
        ended.append(share)

    with pytest.raises(ZeroDivisionError):
        spread(work, list(range(4)), 4)
    assert len(ended) == 3


def test_saves_are_written_one_at_a_time_and_in_order():
    log = []

    def save(name):
        def work():
            log.append(f"begin {name}")
            time.sleep(0.05)
            log.append(f"end {name}")

        with writer.turn():
            log.append(f"snapshot {name}")
            writer.run(work, background=True)

    for name in "abc":
        save(name)
    writer.flush()
    assert log == [f"{what} {name}" for name in "abc" for what in ("snapshot", "begin", "end")]


def test_an_interrupted_turn_passes_to_the_next_save():
    with pytest.raises(KeyboardInterrupt), writer.turn():
        raise KeyboardInterrupt
    done = threading.Event()
    with writer.turn():
        writer.run(done.set, background=True)
    assert done.wait(5)


def test_the_interpreter_finishes_writing_before_it_exits(tmp_path):
    code = f"""
        import time
        from lastgood._saving import writer
        def work():
            time.sleep(0.5)
            open({str(tmp_path / "done")!r}, "w").write("yes")
        with writer.turn():
            writer.run(work, background=True)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=20)
    assert (tmp_path / "done").read_text() == "yes"


def test_work_started_during_interpreter_shutdown_is_done():
    code = """
        import atexit
        from lastgood._threads import Beside
        late = Beside(lambda: "done", "late")
        atexit.register(lambda: (late.start(), print(late.result())))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, check=True, timeout=20)
    assert done.stdout == b"done\n"


@where_processes_fork
def test_a_forked_child_does_not_wait_for_a_save_of_its_parent():
    release = threading.Event()
    with writer.turn():
        writer.run(release.wait, background=True)
        child = os.fork()
        if not child:
            with writer.turn():
                pass
            writer.flush()
            os._exit(3)
    try:
        deadline = time.monotonic() + 10
        while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert os.waitstatus_to_exitcode(done[1]) == 3
    finally:
        release.set()

"""Work beside other work, and the turns that saves take."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from helpers.systems import where_processes_fork
from lastgood._saving import writer
from lastgood._threads import Beside, cores, spread


def _started(work):
    beside = Beside(work, "t")
    beside.start()
    return beside


def test_work_beside_gives_its_result_or_its_error():
    assert _started(lambda: 3).result() == 3
    with pytest.raises(ZeroDivisionError):
        _started(lambda: 1 / 0).result()


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_while_work_is_started_leaves_it_done_or_never_begun(monkeypatch, when):
    """Python may raise it between any two of its own instructions, those of ``Thread.start`` among them."""
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


def test_an_interrupt_while_a_save_is_begun_does_not_give_its_buffer_away(monkeypatch):
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
def test_shares_are_the_whole_and_no_more(count):
    seen = []
    spread(seen.extend, list(range(100)), count)
    assert sorted(seen) == list(range(100))


def test_an_error_in_a_share_is_raised_when_all_have_ended():
    ended = []

    def work(share):
        if share[0] == 1:
            raise ZeroDivisionError
        time.sleep(0.05)
        ended.append(share)

    with pytest.raises(ZeroDivisionError):
        spread(work, list(range(4)), 4)
    assert len(ended) == 3
    assert cores() >= 1


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


def test_a_turn_that_is_interrupted_is_the_next_ones():
    with pytest.raises(KeyboardInterrupt), writer.turn():
        raise KeyboardInterrupt
    done = threading.Event()
    with writer.turn():
        writer.run(done.set, background=True)
    assert done.wait(5)


def test_the_interpreter_does_not_end_before_the_writing(tmp_path):
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


def test_work_begun_while_the_interpreter_ends_is_done():
    code = """
        import atexit
        from lastgood._threads import Beside
        late = Beside(lambda: "done", "late")
        atexit.register(lambda: (late.start(), print(late.result())))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, check=True, timeout=20)
    assert done.stdout == b"done\n"


@where_processes_fork
def test_a_forked_child_waits_for_nothing():
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

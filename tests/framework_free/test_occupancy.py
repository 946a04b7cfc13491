"""One process trains into a template's files: who takes them, who is told, and when they are let go."""

import os
import signal
import socket
import subprocess
import sys
import textwrap

import pytest

from lastgood._run import occupancy
from lastgood._run.occupancy import Occupancy


class User:
    """Who takes files."""


@pytest.mark.parametrize("lock", [False, True])
def test_the_files_of_a_template_are_taken_by_one_process(tmp_path, lock):
    script = """
        import os, sys
        from pathlib import Path
        from lastgood._run.occupancy import Occupancy
        print(Occupancy.take(Path, Path(sys.argv[1]), sys.argv[2], lock=eval(sys.argv[3])))
    """

    def ask(template):
        command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path), template, str(lock)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    one, other = User(), User()
    mine = Occupancy.take(one, tmp_path, "a.keras", lock=lock)
    again = Occupancy.take(other, tmp_path, "a.keras", lock=lock)
    assert ask("a.keras") == f"process {os.getpid()} on this machine\n"
    assert "object" in ask("b.keras")
    again.release(other)
    assert ask("a.keras").startswith("process")
    mine.release(one)
    assert "object" in ask("a.keras")
    assert (tmp_path / ".lastgood").exists() == lock

    del one
    for name in "abcdefghij":  # as of trainings that exceptions have ended
        Occupancy.take(User(), tmp_path, f"{name}.keras", lock=lock)
    assert len(occupancy._held) == 1
    Occupancy.take(other, tmp_path, "z.keras", lock=lock).release(other)
    assert not occupancy._held
    assert "object" in ask("j.keras")


def test_a_lock_in_the_directory_is_seen_where_names_are_not(tmp_path, monkeypatch):
    """As on another machine."""
    script = """
        import sys, time
        from pathlib import Path
        from lastgood._run import occupancy
        occupancy._take_name = lambda digest: None
        print(type(occupancy.Occupancy.take(Path, Path(sys.argv[1]), "a.keras", lock=True)).__name__, flush=True)
        time.sleep(60)
    """
    monkeypatch.setattr(occupancy, "_take_name", lambda digest: None)
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "Occupancy\n"
        taken = Occupancy.take(User(), tmp_path, "a.keras", lock=True)
        other.kill()
    assert taken == f"process {other.pid} on {socket.gethostname()}"
    me = User()
    Occupancy.take(me, tmp_path, "a.keras", lock=True).release(me)


@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_child_that_outlives_its_parent_keeps_nobody_out(tmp_path):
    script = """
        import os, sys, time
        from pathlib import Path
        from lastgood._run.occupancy import Occupancy
        Occupancy.take(Path, Path(sys.argv[1]), "a.keras", lock=True)
        if os.fork() == 0:
            time.sleep(60)
        print("ready", flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert parent.stdout.readline() == "ready\n"
        me = User()
        assert isinstance(Occupancy.take(me, tmp_path, "a.keras", lock=True), str)
        parent.kill()
        parent.wait(30)
        Occupancy.take(me, tmp_path, "a.keras", lock=True).release(me)
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.stdout.close()


@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_child_may_end_what_its_parent_began(tmp_path):
    """As a process that a script forks while it trains, and that leaves by an exception through fit()."""
    me = User()
    mine = Occupancy.take(me, tmp_path, "a.keras", lock=True)
    child = os.fork()
    if child == 0:
        try:
            mine.release(me)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert occupancy._held == {mine._key: mine}
    mine.release(me)
    assert not occupancy._held

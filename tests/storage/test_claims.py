"""Only one process trains into a template's files: who claims them, who is refused, and when they are released."""

import os
import signal
import socket
import subprocess
import sys
import textwrap

import pytest

from helpers.systems import on_linux, where_processes_fork
from lastgood import RunInUseError
from lastgood._storage import LocalStorage, claims


class User:
    """A user that claims files."""


def claim(user, directory, template, *, leave_lock):
    return LocalStorage().claim(directory, template, user, leave_lock=leave_lock)


def claim_elsewhere(directory, template, *, leave_lock, shares_names=True):
    """Let another process claim files; return what it prints: its claim, or the error."""
    script = """
        import sys
        from pathlib import Path
        from lastgood import RunInUseError
        from lastgood._storage import LocalStorage, claims
        if not eval(sys.argv[4]):
            claims._take_name = lambda digest: None
        try:
            print(LocalStorage().claim(Path(sys.argv[1]), sys.argv[2], Path, leave_lock=eval(sys.argv[3])))
        except RunInUseError as error:
            print(error)
    """
    arguments = map(str, (directory, template, leave_lock, shares_names))
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("leave_lock", [False, True])
def test_the_files_of_a_template_are_claimed_by_one_process(tmp_path, leave_lock):
    def ask(template):
        return claim_elsewhere(tmp_path, template, leave_lock=leave_lock)

    one, other = User(), User()
    mine = claim(one, tmp_path, "a.keras", leave_lock=leave_lock)
    again = claim(other, tmp_path, "a.keras", leave_lock=leave_lock)
    assert ask("a.keras").startswith(f"process {os.getpid()} on ")
    assert "object" in ask("b.keras")
    again.release(other)
    assert ask("a.keras").startswith("process")
    mine.release(one)
    assert "object" in ask("a.keras")
    assert (tmp_path / ".lastgood").exists() == leave_lock

    del one
    for name in "abcdefghij":  # like trainings that ended with an exception
        claim(User(), tmp_path, f"{name}.keras", leave_lock=leave_lock)
    assert len(claims._held) == 1
    claim(other, tmp_path, "z.keras", leave_lock=leave_lock).release(other)
    assert not claims._held
    assert "object" in ask("j.keras")


def test_the_lock_in_the_directory_is_respected_where_names_are_not_shared(tmp_path, monkeypatch):
    """As between two machines."""
    script = """
        import sys, time
        from pathlib import Path
        from lastgood._storage import LocalStorage, claims
        claims._take_name = lambda digest: None
        print(type(LocalStorage().claim(Path(sys.argv[1]), "a.keras", Path, leave_lock=True)).__name__, flush=True)
        time.sleep(60)
    """
    monkeypatch.setattr(claims, "_take_name", lambda digest: None)
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "LocalClaim\n"
        with pytest.raises(RunInUseError) as told:
            claim(User(), tmp_path, "a.keras", leave_lock=True)
        other.kill()
    assert str(told.value) == f"process {other.pid} on {socket.gethostname()}"
    me = User()
    claim(me, tmp_path, "a.keras", leave_lock=True).release(me)


@where_processes_fork
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_child_that_outlives_its_parent_does_not_keep_the_claim(tmp_path):
    script = """
        import os, sys, time
        from pathlib import Path
        from lastgood._storage import LocalStorage
        LocalStorage().claim(Path(sys.argv[1]), "a.keras", Path, leave_lock=True)
        if os.fork() == 0:
            print("ready", flush=True)  # by now it has released the claim
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert parent.stdout.readline() == "ready\n"
        me = User()
        with pytest.raises(RunInUseError):
            claim(me, tmp_path, "a.keras", leave_lock=True)
        parent.kill()
        parent.wait(30)
        claim(me, tmp_path, "a.keras", leave_lock=True).release(me)
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.stdout.close()


@where_processes_fork
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_child_can_release_a_claim_without_affecting_its_parent(tmp_path):
    """As when a script forks during training, and the child leaves fit() with an exception."""
    me = User()
    mine = claim(me, tmp_path, "a.keras", leave_lock=True)
    child = os.fork()
    if child == 0:
        try:
            mine.release(me)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert claims._held == {mine._key: mine}
    for shares_names in (True, False):  # excluded by the name, and by the lock alone
        said = claim_elsewhere(tmp_path, "a.keras", leave_lock=True, shares_names=shares_names)
        assert said.startswith(f"process {os.getpid()} on ")
    mine.release(me)
    assert not claims._held
    assert "object" in claim_elsewhere(tmp_path, "a.keras", leave_lock=True)


_IN_A_CONTAINER = """
    import sys
    from pathlib import Path
    from lastgood import RunInUseError
    from lastgood._storage import LocalStorage
    class User: pass
    user = User()
    try:
        LocalStorage().claim(Path(sys.argv[1]), "a.keras", user, leave_lock=eval(sys.argv[2]))
    except RunInUseError as error:
        print("refused:", error, flush=True)
    else:
        print("claimed", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def container(tmp_path):
    """Start a process with the same network as this one, but its own mounts; return its first line of output."""
    if os.geteuid() or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a process with its own mounts needs root and util-linux")
    started = []

    def start(mounting, directory, leave_lock):
        child = f'exec {sys.executable} -c "$1" "$2" "$3"'
        script = ["sh", "-ec", f"{mounting}\n{child}", "sh", textwrap.dedent(_IN_A_CONTAINER), directory]
        command = ["unshare", "-m", "--propagation", "private", *map(str, script), str(leave_lock)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process.stdout.readline()

    yield start
    for process in started:
        process.communicate("\n", timeout=60)


@on_linux
@pytest.mark.parametrize("leave_lock", [False, True])
def test_containers_with_different_disks_at_the_same_path_do_not_lock_each_other_out(tmp_path, container, leave_lock):
    data = tmp_path / "data with blanks"
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    data.mkdir()
    disk = f"mount -t tmpfs tmpfs '{data}'"
    assert container(disk, data / "runs", leave_lock) == "claimed\n"
    assert container(disk, data / "runs", leave_lock) == "claimed\n"
    for name in ("one", "other"):  # directories of one disk, like volumes of containers
        assert container(f"mount --bind '{tmp_path / name}' '{data}'", data / "runs", leave_lock) == "claimed\n"


@on_linux
@pytest.mark.parametrize("leave_lock", [False, True])
def test_a_directory_is_claimed_once_whatever_path_containers_mount_it_at(tmp_path, container, leave_lock):
    for name in ("volume", "here", "there"):
        (tmp_path / name).mkdir()
    mount = f"mount --bind '{tmp_path / 'volume'}'"
    assert container("true", tmp_path / "volume" / "runs", leave_lock) == "claimed\n"
    for name in ("here", "there"):
        said = container(f"{mount} '{tmp_path / name}'", tmp_path / name / "runs", leave_lock)
        assert said.startswith("refused: process ")


@on_linux
def test_a_process_in_another_container_is_not_reported_as_process_0(tmp_path, container):
    assert container("true", tmp_path, False) == "claimed\n"
    script = [sys.executable, "-c", textwrap.dedent(_IN_A_CONTAINER), str(tmp_path), "False"]
    command = ["unshare", "--fork", "--pid", "--mount-proc", *script]
    done = subprocess.run(command, input="\n", capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "refused: another process on this machine\n"


@on_linux
def test_a_mount_that_hides_another_one_counts_as_a_different_disk(tmp_path, container):
    """The hidden mount has the longer path."""
    (tmp_path / "runs").mkdir()
    hidden = f"mount -t tmpfs tmpfs '{tmp_path / 'runs'}'"
    over = f"mount -t tmpfs tmpfs '{tmp_path}'; mkdir '{tmp_path / 'runs'}'"
    assert container(f"{hidden}; {over}", tmp_path / "runs", False) == "claimed\n"
    assert container(f"{hidden}; {over}", tmp_path / "runs", False) == "claimed\n"

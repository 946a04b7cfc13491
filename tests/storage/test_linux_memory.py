"""How much memory is left: what Linux and the control groups of containers say."""

import pytest

from lastgood._storage.systems import linux_memory

MB = 1 << 20
# A dataset that is read again and again is active; its cached files are free all the same.
STATISTICS = "active_file {0}\ninactive_file {0}\ntotal_active_file {0}\ntotal_inactive_file {0}\n"


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A directory for the files of a system with 8 GB of free memory."""
    (tmp_path / "meminfo").write_text("MemTotal:  16000000 kB\nMemFree:  1 kB\nMemAvailable:    8192000 kB\n")
    monkeypatch.setattr(linux_memory, "_MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(linux_memory, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(linux_memory, "_GROUPS", tmp_path / "groups")
    (tmp_path / "own").write_text("")
    return tmp_path


def limit(group, names, most, used, cached):
    group.mkdir(parents=True, exist_ok=True)
    for name, number in zip(names, (most, used), strict=True):
        (group / name).write_text(f"{number}\n")
    (group / "memory.stat").write_text(STATISTICS.format(cached // 2))


def test_without_control_groups_the_systems_own_figure_counts(system):
    assert linux_memory.free_memory() == 8_192_000 * 1024
    (system / "own").unlink()
    assert linux_memory.free_memory() is None


def test_a_limit_of_a_container_counts_and_cached_files_are_free(system):
    names = ("memory.max", "memory.current")
    (system / "own").write_text("0::/pod/container\n")
    limit(system / "groups/pod/container", names, "max", 100 * MB, 0)
    assert linux_memory.free_memory() == 8_192_000 * 1024
    limit(system / "groups/pod", names, 1000 * MB, 900 * MB, 300 * MB)
    assert linux_memory.free_memory() == 400 * MB
    limit(system / "groups/pod/container", names, 500 * MB, 600 * MB, 0)
    assert linux_memory.free_memory() == 0


def test_control_groups_of_the_first_version_count(system):
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    (system / "own").write_text("9:name=systemd:/\n4:cpu,memory:/job/step\n0::/\n")
    limit(system / "groups/memory", names, 9223372036854771712, 100 * MB, 0)
    assert linux_memory.free_memory() == 8_192_000 * 1024
    limit(system / "groups/memory/job/step", names, 700 * MB, 200 * MB, 50 * MB)
    assert linux_memory.free_memory() == 550 * MB

"""The commit that a directory has checked out, compared with what git reports."""

import os
import shutil
import subprocess

import pytest

from lastgood._saving.revision import revision

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def git(tmp_path):
    """Run git in a directory; return what it prints."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=n", "-c", "user.email=e", "-c", "protocol.file.allow=always"]

    def call(directory, *arguments):
        command = ["git", *who, "-C", str(directory), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    return call


@pytest.fixture
def repository(git, tmp_path):
    directory = tmp_path / "repository"
    directory.mkdir()
    git(directory, "init", "-q", "-b", "work/one")
    git(directory, "commit", "-q", "--allow-empty", "-m", "first")
    return directory


def head(git, directory):
    return git(directory, "rev-parse", "HEAD")


def test_a_branch_and_its_commit_are_found_from_a_subdirectory(git, repository):
    below = repository / "a" / "b"
    below.mkdir(parents=True)
    assert revision(below) == {"commit": head(git, repository), "branch": "work/one"}


def test_packed_refs_are_read(git, repository):
    git(repository, "pack-refs", "--all")
    assert not (repository / ".git" / "refs" / "heads" / "work" / "one").exists()
    assert revision(repository) == {"commit": head(git, repository), "branch": "work/one"}


def test_a_detached_checkout_has_no_branch(git, repository):
    git(repository, "checkout", "-q", "--detach")
    assert revision(repository) == {"commit": head(git, repository)}


@pytest.mark.parametrize("packed", [False, True])
def test_the_commits_of_a_linked_work_tree_and_a_submodule_are_found(git, repository, tmp_path, packed):
    git(repository, "worktree", "add", "-q", "-b", "two", tmp_path / "two")
    git(tmp_path / "two", "commit", "-q", "--allow-empty", "-m", "second")
    git(repository, "submodule", "add", "-q", repository, "inner")
    if packed:
        git(repository, "pack-refs", "--all")
    assert revision(tmp_path / "two") == {"commit": head(git, tmp_path / "two"), "branch": "two"}
    assert revision(repository / "inner") == {"commit": head(git, repository / "inner"), "branch": "work/one"}


def test_a_repository_without_commits_has_no_revision(git, tmp_path):
    git(tmp_path, "init", "-q")
    assert revision(tmp_path) == {}


@pytest.mark.parametrize(
    "text", ["", "ref: refs/heads/gone", "ref: refs/../../secret", "ref: HEAD", "password", "\xff\xfe", COMMIT[:-1]]
)
def test_text_that_is_not_a_commit_is_not_recorded(tmp_path, text):
    (tmp_path / "secret").write_text(COMMIT)
    (tmp_path / "work" / ".git").mkdir(parents=True)
    (tmp_path / "work" / ".git" / "HEAD").write_text(text, encoding="latin-1")
    assert revision(tmp_path / "work") == {}


def test_a_head_that_is_a_named_pipe_does_not_block(tmp_path):
    (tmp_path / ".git").mkdir()
    os.mkfifo(tmp_path / ".git" / "HEAD")
    assert revision(tmp_path) == {}

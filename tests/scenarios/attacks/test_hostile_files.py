"""Hostile files cause a typed error, fast and in little memory; nothing is written elsewhere, no code in them runs."""

import os
import pickle
import time

import pytest

from scenarios.attacks import corpus
from scenarios.attacks.referee import MEGABYTES, SECONDS, Referee

WANTED = {True: ("done",), False: ("refused",), None: ("done", "refused")}


def test_a_hostile_file_is_contained(where, attack, told):
    expected, found = corpus.ATTACKS[attack], told[where, attack]
    assert "resume" in found, told["errors"]
    for entrance, one in found.items():
        assert one["outcome"] in ("done", "refused"), (entrance, one)
        assert min(one["wall"], one["cpu"]) <= SECONDS, (entrance, one)  # the machine may have other things to do
        assert one["megabytes"] <= MEGABYTES, (entrance, one)
        assert one["seen"] == [], (entrance, one)
        assert one["changed"] == [], (entrance, one)
    for entrance, wanted in (("load", expected.loads), ("restore", expected.restores), ("resume", expected.resumes)):
        assert entrance not in found or found[entrance]["outcome"] in WANTED[wanted], found[entrance]


def test_hostile_files_leave_no_temporary_files(told):
    assert (told["errors"], told["left"]) == ({}, {})


@pytest.fixture(scope="module")
def referee():
    return Referee()


def _hang(directory):
    os.mkfifo(directory / "pipe")
    (directory / "pipe").read_bytes()


def _allocate(directory):
    bytearray(b"x" * (250 << 20))


def _write(directory):
    (directory / "outside" / "new").write_bytes(b"x")


def _write_behind_pythons_back(directory):
    import h5py

    with h5py.File(directory / "outside" / "new.h5", "w"):
        pass


def _write_through_a_link(directory):
    (directory / "inside" / "link").symlink_to(directory / "outside" / "made")
    (directory / "inside" / "link").write_bytes(b"x")


def _delete(directory):
    (directory / "outside" / "there").unlink()


def _unpickle(directory):
    pickle.loads(pickle.dumps(corpus.Payload(directory / "outside" / "ran")))


def _run_code(directory):
    import base64
    import json
    import marshal
    import types

    layers = json.loads(corpus.lambda_config(directory / "outside" / "ran"))["config"]["layers"]
    code = marshal.loads(base64.b64decode(layers[1]["config"]["function"]["config"]["code"]))
    types.FunctionType(code, {"open": open})(1)


@pytest.mark.parametrize(
    ("call", "sign"),
    [
        (_hang, lambda one: one["outcome"] == "hangs"),
        (lambda directory: {}["x"], lambda one: one["outcome"] == "raised"),
        (lambda directory: time.sleep(1.1), lambda one: one["wall"] > SECONDS),
        (_allocate, lambda one: one["megabytes"] > MEGABYTES),
        (_write, lambda one: one["seen"] and one["changed"]),
        (_write_behind_pythons_back, lambda one: one["changed"]),
        (_write_through_a_link, lambda one: one["seen"] and one["changed"]),
        (_delete, lambda one: one["seen"] and one["changed"]),
        (_unpickle, lambda one: len(one["seen"]) > 1 and one["changed"]),
        (_run_code, lambda one: one["seen"] and one["changed"]),
    ],
)
def test_the_referee_detects_what_is_forbidden(referee, tmp_path, call, sign):
    for name in ("inside", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "there").write_bytes(b"x")
    assert sign(referee.watch(lambda: call(tmp_path), [tmp_path / "inside"], tmp_path))


def test_the_referee_accepts_what_is_allowed(referee, tmp_path):
    (tmp_path / "inside").mkdir()
    one = referee.watch(lambda: (tmp_path / "inside" / "x").write_bytes(b"x"), [tmp_path / "inside"], tmp_path)
    assert (one["outcome"], one["seen"], one["changed"]) == ("done", [], [])

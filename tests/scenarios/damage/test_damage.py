"""Damage of every kind in every region of every format: it is found and located, not loaded, and a restart survives it.

``LASTGOOD_DAMAGE`` sets how many times each format is damaged, and adds what was tried to the summary.
"""

import json
import os
import re
import shutil
import threading
import zipfile
import zlib

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import lastgood
from helpers.kit import TF_KERAS
from lastgood._storage.local import LocalStorage
from scenarios.damage.mutator import damages
from scenarios.damage.samples import CASES, SINGLE_FILES, quietly, read, same, values, write

WHOLE = "LASTGOOD_DAMAGE" in os.environ
EXAMPLES = int(os.environ.get("LASTGOOD_DAMAGE", "40"))
EACH = 1 if WHOLE else 211  # every so many bytes of a file, where the test is about all bytes

thorough = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much, HealthCheck.too_slow],
)
only_some = settings(thorough, max_examples=2, phases=[Phase.generate])  # shrinking an example takes long


@pytest.mark.parametrize("name", CASES)
def test_damage_is_found_and_located_and_nothing_is_loaded(sample, counts, name):
    found = sample(name)
    path, model = found.path(2), found.other_model
    assert lastgood.open_run(found.directory).verify() == []

    @thorough
    @given(st.data())
    def damage_is_found(data):
        damage = data.draw(damages(found.second, found.first))
        counts[name, damage.region.kind, "tried"] += 1
        before = values(model)
        try:
            write(path, damage.files)
            problems = lastgood.open_run(found.directory).verify()
            with pytest.raises(lastgood.RestoreError) as caught:
                quietly(lambda: lastgood.load_weights(model, path))
        finally:
            write(path, found.second.files)
        assert [problem.path for problem in problems] == [path]
        assert re.search(damage.told, problems[0].region), problems[0].region
        assert problems[0].region
        assert isinstance(caught.value, lastgood.CorruptCheckpointError)
        assert same(values(model), before)
        counts[name, damage.region.kind, "detected"] += 1

    damage_is_found()
    assert lastgood.open_run(found.directory).verify() == []


@pytest.mark.parametrize("name", CASES)
def test_a_restart_falls_back_to_the_previous_checkpoint_and_keeps_the_damaged_one(sample, tmp_path_factory, name):
    found = sample(name)

    @only_some
    @given(st.data())
    def restart(data):
        damage = data.draw(damages(found.second, found.first))
        directory = tmp_path_factory.mktemp("restart") / "run"
        found.copy_to(directory)
        path = directory / found.path(2).name
        write(path, damage.files)
        evidence = read(path)
        with pytest.warns(UserWarning, match="is used instead"):
            model = quietly(lambda: found.case.fit(directory, epochs=2, build_other=True))
        assert same(values(model), values(found.model))  # the epoch was trained again, from the checkpoint before
        assert read(path.with_name(f"{path.name}.corrupt")) == evidence
        assert lastgood.open_run(directory).verify() == []

    restart()


@pytest.mark.parametrize("name", SINGLE_FILES)
def test_no_byte_of_a_file_can_change_unseen(sample, name):
    """One bit of each byte in turn, in rotation."""
    found = sample(name)
    path, whole = found.path(2), found.second.files[""]
    run, missed = lastgood.open_run(found.directory), []
    content = bytearray(whole)
    try:
        for at in range(0, len(whole), EACH):
            content[at] ^= 1 << at % 8
            path.write_bytes(content)
            missed += [] if run.verify(path) else [at]
            content[at] = whole[at]
    finally:
        path.write_bytes(whole)
    assert not missed


@pytest.mark.parametrize("name", CASES)
def test_resume_goes_by_the_step_when_checkpoints_have_swapped_names(sample, tmp_path, capsys, name):
    """Their contents are intact and record their own step; the name decides nothing."""
    found = sample(name)
    found.copy_to(tmp_path / "run")
    paths = [tmp_path / "run" / found.path(epoch).name for epoch in (1, 2)]
    for path, files in zip(paths, [found.second.files, found.first.files], strict=True):
        write(path, dict.fromkeys(read(path)))
        write(path, files)
    run = lastgood.open_run(tmp_path / "run")
    assert run.verify() == []
    assert [each.path for each in run.checkpoints] == paths[::-1]
    model = quietly(lambda: found.case.fit(tmp_path / "run", epochs=2, build_other=True))
    assert f"resumed from {paths[0]}" in capsys.readouterr().out
    assert same(values(model), values(found.model))


@pytest.mark.skipif(TF_KERAS, reason="a format of Keras 3")
@pytest.mark.parametrize("name", ["keras", "keras, by stock"])
def test_an_archive_member_of_another_step_is_found(sample, tmp_path, name):
    """Zip finds it intact: its weights, with all of their digests, are of another step."""
    found = sample(name)
    content, path = bytearray(found.second.files[""]), tmp_path / "m.keras"
    with zipfile.ZipFile(found.path(1)) as one, zipfile.ZipFile(found.path(2)) as two:
        weights, was = one.read("model.weights.h5"), two.getinfo("model.weights.h5")
        at = content.index(two.read("model.weights.h5"))
    assert len(weights) == was.file_size
    content[at : at + len(weights)] = weights
    in_directory = content.index(b"PK\1\2", at + len(weights))
    while content[in_directory + 46 : in_directory + 46 + len(was.filename)] != was.filename.encode():
        in_directory = content.index(b"PK\1\2", in_directory + 1)
    for place in (was.header_offset + 14, in_directory + 16):
        content[place : place + 4] = zlib.crc32(weights).to_bytes(4, "little")
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    assert lastgood.open_run(tmp_path).verify(path)
    with pytest.raises(lastgood.CorruptCheckpointError):
        lastgood.load_weights(found.other_model, path)


@pytest.mark.skipif(TF_KERAS, reason="formats of Keras 3")
def test_a_directory_that_is_replaced_during_verify_is_not_reported_as_damaged(sample, tmp_path):
    found = sample("keras directory")
    found.copy_to(tmp_path / "run")
    path, run = tmp_path / "run" / "02", lastgood.open_run(tmp_path / "run")
    ended = threading.Event()

    def replace():
        for epoch in (1, 2) * 40:
            with LocalStorage().stage(path, "") as new:
                shutil.copytree(found.path(epoch), new.path)
        ended.set()

    thread = threading.Thread(target=replace)
    thread.start()
    checked = 0
    while not ended.is_set():
        assert run.verify(path) == []
        checked += 1
    thread.join()
    assert checked > 10


@pytest.mark.skipif(TF_KERAS, reason="a format of Keras 3")
@pytest.mark.parametrize("name", ["keras directory", "orbax directory"])
def test_files_that_other_tools_add_to_a_directory_do_no_harm(sample, tmp_path, name):
    found = sample(name)
    found.copy_to(tmp_path / "run")
    (tmp_path / "run" / "02" / ".DS_Store").write_bytes(b"seen")
    assert lastgood.open_run(tmp_path / "run").verify() == []
    lastgood.load_weights(found.case.model(), tmp_path / "run" / "02")


@pytest.mark.parametrize("name", SINGLE_FILES)
def test_a_file_whose_tail_is_lost_does_not_pass_for_one_of_stock_keras(sample, name):
    """The tail is cut off, or zeros, as some file systems leave it after a crash, wherever it begins."""
    found = sample(name)
    path, whole = found.path(2), found.second.files[""]
    run, missed = lastgood.open_run(found.directory), []
    begins = {at for region in found.second.regions for at in (region.start, region.stop - 1, region.stop - 8)}
    try:
        for at in sorted(begin for begin in begins if begin >= 0 and any(whole[begin:])):
            for tail in (b"", bytes(len(whole) - at)):
                path.write_bytes(whole[:at] + tail)
                missed += [] if run.verify(path) else [(at, tail == b"")]
    finally:
        path.write_bytes(whole)
    assert not missed


@pytest.mark.skipif(TF_KERAS, reason="formats of Keras 3")
def test_an_archive_whose_directory_cannot_be_read_stops_neither_a_listing_nor_a_restart(sample, tmp_path):
    """One flipped bit in the version that a member needs to be unpacked makes zipfile raise an unexpected error."""
    found = sample("keras")
    found.copy_to(tmp_path / "run")
    path = tmp_path / "run" / found.path(2).name
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 6] ^= 0x80
    path.write_bytes(content)
    run = lastgood.open_run(tmp_path / "run")
    assert [each.step for each in run.checkpoints] == [1, 2]
    assert [problem.path for problem in run.verify()] == [path]
    with pytest.warns(UserWarning, match="is used instead"):
        assert same(values(found.case.fit(tmp_path / "run", epochs=2, build_other=True)), values(found.model))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.ending])
def test_a_checkpoint_that_lost_one_of_its_files_is_reported_as_damaged(sample, tmp_path, name):
    found = sample(name)
    for number, file in enumerate(found.second.files):
        if file == ".index":  # without it, the files of a group are not a checkpoint
            continue
        found.copy_to(tmp_path / str(number))
        path = tmp_path / str(number) / "02"
        write(path, {file: None})
        assert [problem.path for problem in lastgood.open_run(tmp_path / str(number)).verify()] == [path], file


@pytest.mark.parametrize("name", CASES)
def test_a_damaged_checkpoint_that_was_set_aside_is_no_longer_listed(sample, tmp_path, name):
    found = sample(name)
    found.copy_to(tmp_path / "run")
    path = tmp_path / "run" / found.path(2).name
    file = next(iter(found.second.files))
    write(path, {file: b"half"})
    with pytest.warns(UserWarning, match="is used instead"):
        quietly(lambda: found.case.fit(tmp_path / "run", epochs=1))
    assert [each.path.name for each in lastgood.open_run(tmp_path / "run").checkpoints] == [found.path(1).name]


@pytest.mark.skipif(TF_KERAS, reason="formats of Keras 3")
@pytest.mark.parametrize("name", ["keras directory", "orbax directory"])
def test_a_directory_of_an_older_version_without_digests_is_loaded(sample, tmp_path, name):
    """It has a record, but no digests."""
    found = sample(name)
    found.copy_to(tmp_path / "run")
    record = tmp_path / "run" / "02" / "lastgood.json"
    values_of = json.loads(record.read_bytes())
    del values_of["files"]
    record.write_text(json.dumps(values_of | {"crc32": "00000000"}, sort_keys=True))
    run = lastgood.open_run(tmp_path / "run")
    assert run.verify() == []
    assert run.latest.step == 2
    model = found.case.model()
    lastgood.load_weights(model, run.latest.path)
    assert same(model.get_weights(), found.model.get_weights())

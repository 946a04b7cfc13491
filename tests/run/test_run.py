"""A run's directory: what it lists, and random sequences of operations against a model of it."""

import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import weakref
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lastgood import ArgumentError, open_run
from lastgood._formats import choose_format, hdf5_by_stock
from lastgood._policies.naming import Template
from lastgood._policies.retention import Retention
from lastgood._record import Record
from lastgood._run import Run
from lastgood._run.journal import Journal
from lastgood._run.keeper import Keeper
from lastgood._run.run import story_of
from lastgood._run.series import Series
from lastgood._storage import LocalStorage, locate, storage_of


def keeper(directory, template="{epoch:02d}.weights.h5", **policy):
    made = Template(str(Path(directory) / template))
    series = Series(made, choose_format(made.text, made.suffix, weights_only=True), LocalStorage())
    return Keeper(series, Retention.parse(**policy))


def journal_of(directory):
    return Journal(LocalStorage().event_log(Path(directory)))


def save(keeper, epoch, step=None, at=None, **metrics):
    """Commit a small checkpoint, as a callback does; return its path."""
    step = 10 * epoch if step is None else step
    at = at or locate(keeper.run.directory / keeper.template.format(epoch=epoch, **metrics))
    record = Record(step, epoch, None, metrics, "weights.h5", 1000.0 + step, {}, keeper.name, keeper.template)
    numbers = {"layers/dense/vars/0": [float(step)]}
    snapshot = hdf5_by_stock.snapshot(lambda file: file.update(numbers), 1000, record, b"")
    with at.storage.stage(at.path, ".weights.h5") as stage:
        snapshot.write(stage, lambda size: None)
    keeper.committed(at, record, {"size": at.size()}, "val_loss", "min")
    return at.path


def steps(run):
    return [each.step for each in run.checkpoints]


def test_checkpoints_are_listed_by_step_with_their_metadata(tmp_path):
    of = keeper(tmp_path)
    save(of, 2, val_loss=0.5)
    save(of, 1, val_loss=0.25)
    (tmp_path / "stock.keras").write_bytes(b"PK")
    (tmp_path / "notes.txt").write_text("no checkpoint")
    (tmp_path / "3.weights.h5.corrupt").write_bytes(b"")
    run = open_run(tmp_path)
    stock, first, second = run.checkpoints
    assert (stock.step, stock.size, stock.metrics, stock.record) == (None, 2, {}, None)
    assert (first.step, first.epoch, first.batch, first.metrics) == (10, 1, None, {"val_loss": 0.25})
    assert first.size == first.path.stat().st_size
    assert run.latest == second
    assert run.best() == first
    assert run.best("val_loss", "max") == second
    assert run.best("accuracy") is None


def test_checkpoints_in_visible_subdirectories_are_found(tmp_path):
    of = keeper(tmp_path, "{epoch}/model.weights.h5")
    (tmp_path / "1").mkdir()
    (tmp_path / ".hidden").mkdir()
    shutil.copy(save(of, 1), tmp_path / ".hidden/copy.weights.h5")
    assert [each.path for each in open_run(tmp_path).checkpoints] == [tmp_path / "1/model.weights.h5"]


def test_opening_a_missing_directory_as_a_run_raises(tmp_path):
    with pytest.raises(ArgumentError, match=r"There is no directory .*nowhere"):
        open_run(tmp_path / "nowhere")


def test_a_late_metric_ranks_the_checkpoint_and_does_not_change_the_file(tmp_path):
    of = keeper(tmp_path, keep_best=1)
    first = save(of, 1, val_loss=0.5)
    second = save(of, 2)
    before = second.read_bytes()
    run = open_run(tmp_path)
    run.attach(second, {"val_loss": 0.25, "odd": float("nan")})
    assert second.read_bytes() == before
    assert run.best().path == second
    save(of, 3)
    assert [each.path.name for each in run.checkpoints] == ["02.weights.h5", "03.weights.h5"]
    assert not first.exists()


def test_a_late_metric_does_not_apply_to_a_new_file_at_the_same_path(tmp_path):
    of = keeper(tmp_path, "last.weights.h5")
    run = open_run(tmp_path)
    run.attach(save(of, 1), {"val_loss": 0.25})
    assert run.latest.metrics == {"val_loss": 0.25}
    save(of, 2)
    assert run.latest.metrics == {}


def test_shared_bytes_of_a_checkpoint_are_remembered_until_it_is_pruned(tmp_path):
    of = keeper(tmp_path, keep_last=1)
    for epoch, shared in ((1, 0), (2, 100), (3, "much"), (4, -1), (5, 200)):
        path = save(of, epoch)
        of.note("save", path=path.name, created=1000.0 + 10 * epoch, costs={"shared": shared})
    assert [(each.epoch, each.shared) for each in open_run(tmp_path).checkpoints] == [(5, 200)]
    assert journal_of(tmp_path).annotations().shared == {"05.weights.h5": (1050.0, 200)}
    of.note("save", path=path.name, created=2000.0, costs={"shared": 300})
    assert open_run(tmp_path).latest.shared == 0, "it is of another file at this path"
    of.note("save", path=path.name, created=2000.0, costs={})
    assert not journal_of(tmp_path).annotations().shared


def test_a_pinned_checkpoint_is_kept_until_it_is_unpinned(tmp_path):
    of = keeper(tmp_path, keep_last=1)
    run = open_run(tmp_path)
    run.pin(save(of, 1))
    save(of, 2)
    save(of, 3)
    assert steps(run) == [10, 30]
    assert [each.pinned for each in run.checkpoints] == [True, False]
    run.unpin("01.weights.h5")
    save(of, 4)
    assert steps(run) == [40]
    with pytest.raises(ArgumentError, match="There is no checkpoint"):
        run.pin(tmp_path / "01.weights.h5")


def test_pruning_deletes_only_checkpoints_of_the_same_run_and_template(tmp_path):
    others = [keeper(tmp_path), keeper(tmp_path, "other-{epoch}.weights.h5")]  # an earlier run; another callback
    for other in others:
        for epoch in (5, 6):
            save(other, epoch)
    of = keeper(tmp_path, keep_last=1)
    copy = tmp_path / "mine.weights.h5"
    shutil.copy(save(of, 1), copy)
    shutil.copy(copy, tmp_path / "stock.weights.h5")
    (tmp_path / "00.weights.h5").write_bytes(b"stock")
    for epoch in (2, 3):
        save(of, epoch)
    assert sorted(path.name for path in tmp_path.glob("*.h5")) == [
        "00.weights.h5",
        "03.weights.h5",
        "05.weights.h5",
        "06.weights.h5",
        "mine.weights.h5",
        "other-5.weights.h5",
        "other-6.weights.h5",
        "stock.weights.h5",
    ]


def test_prune_deletes_what_its_dry_run_returned(tmp_path):
    of = keeper(tmp_path)
    for epoch, loss in enumerate((3.0, 1.0, 2.0, 4.0), 1):
        save(of, epoch, val_loss=loss)
    run = open_run(tmp_path)
    assert [each.step for each in run.prune(keep_last=1, dry_run=True)] == [10, 30]
    assert steps(run) == [10, 20, 30, 40]
    assert [each.step for each in run.prune(keep_last=1)] == [10, 30]
    assert steps(run) == [20, 40]
    with pytest.raises(ArgumentError, match="No retention rule is given"):
        run.prune()
    assert run.prune(keep_every=timedelta(days=1)) == []


class CustomPolicy:
    """A policy that keeps the records for which ``answer`` is true."""

    def __init__(self, answer):
        self.answer = answer

    def should_keep(self, records, context):
        return [self.answer(each) for each in records]


def test_a_custom_policy_decides_at_each_save_and_in_prune(tmp_path):
    of = keeper(tmp_path, keep=CustomPolicy(lambda record: record.metrics["val_loss"] > 4))
    for epoch, loss in enumerate((3.0, 5.0, 2.0, 6.0, 4.0), 1):
        save(of, epoch, val_loss=loss)
    run = open_run(tmp_path)
    assert steps(run) == [20, 30, 40, 50]
    assert [each.step for each in run.prune(keep=CustomPolicy(lambda record: record.epoch == 2))] == [40]
    with pytest.raises(ArgumentError, match="Unrecognized keep"):
        run.prune(keep=CustomPolicy)


def test_an_invalid_answer_of_a_custom_policy_deletes_nothing_and_fails_no_save(tmp_path, caplog):
    class Silent:
        def should_keep(self, records, context):
            return [False] * (len(records) - 1)

    of = keeper(tmp_path, keep=Silent())
    for epoch in (1, 2):
        save(of, epoch)
        assert f"returned {epoch - 1} answers for {epoch} records" in caplog.text
    assert steps(open_run(tmp_path)) == [10, 20]
    with pytest.raises(ArgumentError, match="returned 1 answers for 2 records"):
        open_run(tmp_path).prune(keep=Silent())
    assert steps(open_run(tmp_path)) == [10, 20]


@pytest.fixture
def save_to_memory():
    """Save three times to a template in this process's memory; return the run."""
    saved = []

    def save_all(text, **policy):
        made, storage = Template(text), storage_of(text)
        series = Series(made, choose_format(text, made.suffix, weights_only=True), storage)
        of = Keeper(series, Retention.parse(**policy))
        for epoch in (1, 2, 3):
            saved.append(series.at(made.path(epoch=epoch, batch=None, logs={})))
            save(of, epoch, at=saved[-1])
        return Run(series.directory)

    yield save_all
    for at in saved:
        at.storage.discard(at.path)


def test_a_run_at_the_root_of_a_storage_works_like_any_other(save_to_memory):
    run = save_to_memory("memory://{epoch}.weights.h5", keep_last=1)
    assert [each["path"] for each in run.listing()] == ["3.weights.h5"]


def test_a_run_in_memory_can_be_listed_pinned_pruned_and_verified(save_to_memory):
    run = save_to_memory("memory://runs/{epoch}/m.weights.h5", keep_last=2)
    assert [each["path"] for each in run.listing()] == ["2/m.weights.h5", "3/m.weights.h5"]
    first, latest = run.checkpoints
    assert (str(latest.path), latest.step) == ("memory://runs/3/m.weights.h5", 30)
    assert open_run("memory://runs").latest == latest
    run.pin(first)
    run.attach(str(latest.path), {"val_loss": 0.5})
    assert run.best() == run.latest
    assert [each.step for each in run.prune(keep_last=1)] == []
    run.unpin("2/m.weights.h5")
    assert [each.step for each in run.prune(keep_last=1)] == [20]
    assert run.verify() == []
    assert story_of(run).run == "memory://runs"


def test_verify_names_the_damaged_checkpoint(tmp_path):
    path = save(keeper(tmp_path), 1)
    run = open_run(tmp_path)
    assert run.verify() == []
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    (problem,) = run.verify()
    assert problem.path == path
    assert "is damaged in" in problem.reason


def test_damaged_journal_lines_are_skipped_and_new_events_start_on_a_new_line(tmp_path):
    journal = journal_of(tmp_path)
    journal.append("pin", path="a")
    file = tmp_path / ".lastgood/journal.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"event": "pin", "pa')
    journal.append("pin", path="b", metrics={"x": float("inf")})
    file.write_bytes(file.read_bytes() + b'NaN\n[1]\n\xff\xfe\n{"metrics": 3}\n{"event": "pin"}\n' + whole)
    assert [event.get("path") for event in journal.events() if event["event"] == "pin"] == ["a", "b", None, "a"]
    for line in (file.read_bytes()).splitlines()[2:3]:
        assert json.loads(line)["metrics"] == {"x": "Infinity"}


def test_each_journal_line_is_parsed_only_once(tmp_path, monkeypatch):
    parsed, loads = [], json.loads

    def note_and_load(line, **options):
        parsed.append(line)
        return loads(line, **options)

    monkeypatch.setattr(json, "loads", note_and_load)
    journal = journal_of(tmp_path)
    for number in range(50):
        journal.append("pin", path=str(number))
        assert len(journal.annotations().pinned) == number + 1
    assert len(parsed) == 50


def test_a_partial_journal_line_is_read_when_it_is_complete(tmp_path):
    journal, file = journal_of(tmp_path), tmp_path / ".lastgood/journal.jsonl"
    journal.append("pin", path="a")
    whole = file.read_bytes()
    for cut in range(1, len(whole)):
        file.write_bytes(whole + whole.replace(b"a", b"b")[:cut])
        assert journal.annotations().pinned == {"a"}
    file.write_bytes(whole + whole.replace(b'"a"', b'"b"'))
    assert journal.annotations().pinned == {"a", "b"}
    file.write_bytes(whole.replace(b'"a"', b'"c"'))  # another journal
    assert journal.annotations().pinned == {"c"}
    file.unlink()
    assert journal.annotations().pinned == set()


def test_a_pin_cut_off_by_a_full_disk_raises_and_is_ignored(small_disk):
    journal = journal_of(small_disk)
    journal.append("pin", path="a" * 3000)
    with pytest.raises(OSError, match="No space"):
        (small_disk / "filler").write_bytes(bytes(4_000_000))
    with pytest.raises(OSError, match="No space"):
        journal.append("pin", path="b" * 3000)
    (small_disk / "filler").unlink()
    journal.append("pin", path="c")
    assert journal.annotations().pinned == {"a" * 3000, "c"}


def test_an_overwritten_checkpoint_of_the_same_time_and_size_is_noticed(tmp_path):
    """The clocks of file systems are coarse: two saves to one path may have the same time."""
    path, other = tmp_path / "last.weights.h5", tmp_path / "other"
    other.mkdir()
    run = open_run(tmp_path)
    for step in (10, 20):
        made = save(keeper(other, path.name), 1, step)
        with LocalStorage().stage(path, ".h5") as stage:
            shutil.copy(made, stage.path)
        os.utime(path, ns=(10**18, 10**18))
        shutil.rmtree(other)
        other.mkdir()
        assert steps(run) == [step]


def test_the_record_of_a_deleted_checkpoint_is_freed(tmp_path):
    path = save(keeper(tmp_path), 1)
    run = open_run(tmp_path)
    record = weakref.ref(run.latest.record)
    assert record() is not None
    path.unlink()
    assert run.latest is None
    gc.collect()
    assert record() is None


def test_eight_processes_append_complete_lines(tmp_path):
    script = """
        import sys
        from pathlib import Path
        from lastgood._run.journal import Journal
        from lastgood._storage import LocalStorage
        for i in range(200):
            Journal(LocalStorage().event_log(Path(sys.argv[1]))).append("pin", path=sys.argv[2] * 50 + str(i))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    processes = [subprocess.Popen([*command, str(number)]) for number in range(8)]
    assert [process.wait(60) for process in processes] == [0] * 8
    paths = {event["path"] for event in journal_of(tmp_path).events()}
    assert paths == {str(number) * 50 + str(i) for number in range(8) for i in range(200)}


SOME = st.none() | st.integers(1, 3)


class RunMachine(RuleBasedStateMachine):
    """Saves, late metrics, pins, pruning, restarts and a lost journal, against a dictionary of what should exist."""

    @initialize(
        last=st.none() | st.integers(1, 3), best=st.none() | st.integers(1, 3), every=st.sampled_from([None, 30])
    )
    def begin(self, last, best, every):
        self.directory = Path(tempfile.mkdtemp(prefix="lastgood-test-"))
        self.policy = {"keep_last": last, "keep_best": best, "keep_every": every}
        self.keeper = keeper(self.directory, **self.policy)
        self.run = Run(self.directory)
        self.there, self.pinned, self.late, self.epoch = {}, set(), {}, 0
        self.foreign = save(keeper(self.directory, "other-{epoch}.weights.h5"), 1)

    def value(self, epoch):
        return self.late.get(epoch, self.there[epoch])

    def expect_pruned(self, policy):
        """Apply the policy to the dictionary, as it is documented."""
        if all(number is None for number in policy.values()):
            return
        epochs = sorted(self.there)
        keep = set(epochs[-(policy["keep_last"] or 1) :]) | self.pinned
        ranked = [e for _, e in sorted((self.value(e), e) for e in epochs if self.value(e) is not None)]
        others = [e for e in reversed(epochs) if self.value(e) is None]
        keep |= set([*ranked, *others][: policy["keep_best"]] if policy["keep_best"] else ranked[:1])
        if policy["keep_every"]:
            spans = {}
            for epoch in epochs:
                spans.setdefault(10 * epoch // policy["keep_every"], epoch)
            keep |= {epoch for span, epoch in spans.items() if span}
        self.there = {epoch: value for epoch, value in self.there.items() if epoch in keep}

    @rule(loss=st.none() | st.integers(0, 9))
    def save(self, loss):
        self.epoch += 1
        self.there[self.epoch] = loss
        save(self.keeper, self.epoch, **({} if loss is None else {"val_loss": float(loss)}))
        self.expect_pruned(self.policy)

    @precondition(lambda self: self.there)
    @rule(data=st.data(), loss=st.integers(0, 9))
    def attach(self, data, loss):
        epoch = data.draw(st.sampled_from(sorted(self.there)))
        self.run.attach(f"{epoch:02d}.weights.h5", {"val_loss": loss})
        self.late[epoch] = loss

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def pin(self, data):
        epoch = data.draw(st.sampled_from(sorted(self.there)))
        self.run.pin(f"{epoch:02d}.weights.h5")
        self.pinned.add(epoch)

    @precondition(lambda self: self.pinned)
    @rule(data=st.data())
    def unpin(self, data):
        epoch = data.draw(st.sampled_from(sorted(self.pinned)))
        self.run.unpin(f"{epoch:02d}.weights.h5")
        self.pinned.discard(epoch)

    @rule(last=st.integers(1, 3), dry=st.booleans())
    def prune(self, last, dry):
        self.run.prune(keep_last=last, dry_run=dry)
        if not dry:
            self.expect_pruned({"keep_last": last, "keep_best": None, "keep_every": None})

    @rule()
    def restart(self):
        name, self.keeper = self.keeper.name, keeper(self.directory, **self.policy)
        self.keeper.name = name
        self.run = Run(self.directory)

    @rule()
    def crash_in_a_line(self):
        file = self.directory / ".lastgood/journal.jsonl"
        if file.exists():
            file.write_bytes(file.read_bytes() + b'{"event": "unpin", "path": "01.wei')

    @rule()
    def lose_the_journal(self):
        shutil.rmtree(self.directory / ".lastgood", ignore_errors=True)
        self.pinned, self.late = set(), {}

    @invariant()
    def the_directory_matches_the_dictionary(self):
        if not hasattr(self, "directory"):
            return
        own = [each for each in self.run.checkpoints if each.path != self.foreign]
        assert [each.epoch for each in own] == sorted(self.there)
        assert {each.epoch for each in own if each.pinned} == self.pinned
        assert {each.epoch: each.metrics.get("val_loss") for each in own} == {e: self.value(e) for e in self.there}
        assert self.foreign.exists()

    def teardown(self):
        if hasattr(self, "directory"):
            shutil.rmtree(self.directory)


TestRunMachine = RunMachine.TestCase
TestRunMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)

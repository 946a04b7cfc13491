"""Thousands of checkpoints in a run: queries take time in proportion, and training is not slowed.

There are 10,000 with `make soak`, and 3,000 with `make test-long`.
"""

import json
import os
import time

import pytest

from lastgood import open_run
from lastgood._bytes import digests, trailing_record
from lastgood._cli.listing import print_table
from lastgood._formats import hdf5_by_stock
from lastgood._formats.weights_h5 import WeightsH5
from lastgood._policies.naming import Template
from lastgood._policies.retention import Retention
from lastgood._record import Record
from lastgood._run import Keeper, Series, by_age
from lastgood._storage import LocalStorage
from lastgood._storage.positioned import LocalFile
from lastgood._storage.stages import LocalStage

pytestmark = pytest.mark.long

WHOLE = "LASTGOOD_SOAK" in os.environ
MANY = 10_000 if WHOLE else 3_000


def series(directory):
    return Series(Template(str(directory / "{epoch}.weights.h5")), WeightsH5(), LocalStorage())


def keeper(directory, **policy):
    return Keeper(series(directory), Retention.parse(**policy))


def record_of(of, epoch):
    metrics = {"val_loss": 1.0 + abs(epoch - 70) / MANY}
    return Record(10 * epoch, epoch, None, metrics, "weights.h5", 1000.0 + epoch, {}, of.name, of.template)


def fill(directory, count):
    """Make checkpoints as a save does, but with the same HDF5 content each time; only the record differs."""
    directory.mkdir(parents=True)
    of = keeper(directory, keep_last=2 * MANY)
    plain = directory.parent / "plain"
    numbers = {"layers/dense/vars/0": [1.0, 2.0]}
    made = hdf5_by_stock.snapshot(lambda file: file.update(numbers), 1000, record_of(of, 1), b"")
    made.write(LocalStage(plain, plain), lambda size: None)
    content = content_of(plain)
    for epoch in range(1, count + 1):
        write(directory / f"{epoch}.weights.h5", content, record_of(of, epoch))
    return of


def content_of(path):
    """Return the bytes of a file up to its record."""
    with LocalFile(path) as file:
        return path.read_bytes()[: trailing_record.find(file)[0]]


def write(path, content, record):
    text = record.to_text()
    path.write_bytes(content + trailing_record.encode(text))
    digests.seal_file(path, len(content), text)


def best_of(work, times=3):
    """Return the shortest CPU time of ``work``, in seconds, which other processes do not affect."""
    spent = []
    for _ in range(times):
        begun = time.process_time()
        work()
        spent.append(time.process_time() - begun)
    return min(spent)


def seconds(directory, of, count):
    """Return the seconds that each query takes."""
    run = open_run(directory)
    assert len(run.checkpoints) == count  # the first query reads all records

    questions = {
        "open and list": best_of(lambda: open_run(directory).checkpoints),
        "list again": best_of(lambda: run.checkpoints),
        "latest": best_of(lambda: run.latest),
        "best": best_of(lambda: run.best("val_loss")),
        "find what to resume from": best_of(lambda: by_age([series(directory)]), 1),
        "a save with retention": best_of(lambda: run.prune(keep_last=2 * MANY)),
    }
    if WHOLE:  # these take ten seconds each
        questions |= {
            "verify": best_of(run.verify, 1),
            "lastgood ls": best_of(lambda: print_table(run, "val_loss", "auto"), 1),
        }
    return questions


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Return the directories of two runs, with a tenth of the checkpoints and with all, and the time of each query."""
    found = {}
    for count in (MANY // 10, MANY):
        directory = tmp_path_factory.mktemp("many") / "run"
        found[count] = directory, seconds(directory, fill(directory, count), count)
    print(json.dumps({count: spent for count, (_, spent) in found.items()}, indent=1))
    return found


def test_queries_on_thousands_of_checkpoints_are_answered_correctly(measured):
    directory, _ = measured[MANY]
    run = open_run(directory)
    assert [each.epoch for each in run.checkpoints] == list(range(1, MANY + 1))
    assert run.latest.epoch == MANY
    assert run.best("val_loss").epoch == 70
    assert len(run.prune(keep_last=5, dry_run=True)) == MANY - 6


def test_query_time_does_not_grow_quadratically_with_the_number_of_checkpoints(measured):
    (_, few), (_, all_) = measured[MANY // 10], measured[MANY]
    ratios = {name: all_[name] / few[name] for name in few}
    # For ten times as many checkpoints; up to 17 were measured, and quadratic growth would be a hundred.
    assert max(ratios.values()) < 30, ratios
    assert all_["a save with retention"] < 1.0


def test_frequent_saves_do_not_wait_for_a_scan_of_all_checkpoints(measured):
    """Checkpoints to delete are deleted a little later, and are gone in the end."""
    directory, questions = measured[MANY]
    of = keeper(directory, keep_last=5)
    first, *others = (directory / f"{MANY + number}.weights.h5" for number in range(1, 21))
    content = content_of(directory / "1.weights.h5")

    def save(path):
        record = record_of(of, int(path.name.partition(".")[0]))
        write(path, content, record)
        of.committed(path, record, {}, "val_loss", "min")

    save(first)
    assert best_of(lambda: [save(path) for path in others], 1) < 5 * questions["a save with retention"]
    of.settle()
    assert [path.exists() for path in others] == [False] * 14 + [True] * 5
    assert len(open_run(directory).checkpoints) == MANY + 6  # those of the other run, five, and the best


def test_prune_deletes_hundreds_of_checkpoints_at_once_and_no_others(measured):
    """This test comes last, as it makes the run smaller."""
    directory, _ = measured[MANY // 10]
    pruned = open_run(directory).prune(keep_last=2, keep_best=1)
    assert len(pruned) == MANY // 10 - 3
    assert [each.epoch for each in open_run(directory).checkpoints] == [70, MANY // 10 - 1, MANY // 10]

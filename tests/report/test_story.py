"""What the report shows, from the events in the journal."""

import pytest

from lastgood._report.comparison import labels, overview, side_by_side, state, trained
from lastgood._report.page import render
from lastgood._run import Run
from lastgood._run.run import story_of


def write(directory, *events):
    run = Run(directory)
    for name, values in events:
        run.journal.append(name, **{"run": "r", "template": "t"} | values)
    return story_of(run)


def test_crashes_restarts_and_signals_are_on_the_timeline(tmp_path):
    story = write(
        tmp_path,
        ("begin", {"at": 1.0, "resumed": None, "environment": {"keras": "3.15.1"}}),
        ("begin", {"at": 2.0, "run": "other", "resumed": None}),
        ("begin", {"at": 3.0, "resumed": "t/1.keras"}),
        ("signal", {"at": 4.0, "name": "SIGTERM"}),
        ("end", {"at": 5.0, "stopped": False}),
        ("begin", {"at": 6.0, "resumed": "t/2.keras", "environment": {"keras": "3.16.0"}}),
        ("end", {"at": 7.0, "stopped": True}),
    )
    assert [(each.at, each.what) for each in story.happenings] == [
        (1.0, "training began"),
        (2.0, "training began"),
        (3.0, "the previous start had ended without notice"),
        (3.0, "resumed from t/1.keras"),
        (4.0, "SIGTERM received; the state was saved"),
        (5.0, "training ended"),
        (6.0, "resumed from t/2.keras"),
        (7.0, "training was stopped by a callback"),
    ]
    assert [(each.began, each.last, each.resumed, each.ending) for each in story.starts.all] == [
        (1.0, 1.0, "", "ended without notice"),
        (2.0, 2.0, "", ""),
        (3.0, 5.0, "1.keras", "ended by SIGTERM"),
        (6.0, 7.0, "2.keras", "stopped by a callback"),
    ]
    assert story.environment == {"keras": "3.16.0"}
    assert (state(story), trained(story)) == ("stopped by a callback", "at least 3 s")


def test_curves_combine_epochs_and_saves_and_skip_malformed_events(tmp_path):
    costs = {"size": 10, "wait": 1, "snapshot": 2, "write": 3, "fsync": 4}
    story = write(
        tmp_path,
        ("save", {"step": 20, "metrics": {"loss": 0.5}, "costs": costs}),
        ("save", {"step": 30, "metrics": {"loss": 0.4}, "costs": {}}),
        ("epoch", {"step": 10, "metrics": {"loss": 0.75, "val_loss": float("nan")}}),
        ("epoch", {"step": "ten", "metrics": {"loss": 1.0}}),
        ("prune", {"path": "a", "step": 20}),
        ("unheard of", {}),
    )
    assert story.curves["loss"] == {10: 0.75, 20: 0.5, 30: 0.4}
    assert story.families() == {"loss": ["loss", "val_loss"]}
    assert [(cost.step, cost.size, cost.held, cost.durable) for cost in story.costs] == [(20, 10, 3.0, 7.0)]
    assert story.pruned == [20]


def test_a_journal_of_an_older_version_leaves_missing_fields_empty(tmp_path):
    story = write(tmp_path, ("begin", {"at": 1.0, "resumed": None}), ("end", {"at": 3.0, "stopped": False}))
    assert (story.settings, story.place, story.environment) == ({}, {}, {})
    assert [row.cells for row in overview([story]) if row.name in ("state", "trained for", "starts")] == [
        ["ended"],
        ["2 s"],
        ["1"],
    ]
    nothing = write(tmp_path / "empty")
    assert (state(nothing), trained(nothing), nothing.monitor) == ("", "", "val_loss")


@pytest.mark.parametrize("value", [None, 1, "x", [], {"a": []}, {"a": None}, {"a": {"b": 1}}])
def test_malformed_values_in_the_event_of_a_start_are_ignored(tmp_path, value):
    named = dict.fromkeys(("environment", "host", "process", "code", "settings", "training"), value)
    story = write(tmp_path, ("begin", {"at": 1.0, "resumed": None, **named}))
    assert len(story.starts.all) == 1
    assert (story.settings, story.environment) == ({}, {})


def test_callbacks_of_one_process_count_as_one_start_and_another_process_as_a_new_one(tmp_path):
    def begin(at, template, process):
        return "begin", {"at": at, "template": template, "run": template, "process": process, "host": "h"}

    story = write(
        tmp_path,
        begin(1.0, "a", 10),
        begin(1.1, "b", 10),
        ("epoch", {"at": 3.0, "run": "b", "template": "b", "epoch": 1, "step": 1, "metrics": {}}),
        begin(9.0, "a", 11),
        begin(9.1, "b", 11),
        begin(9.2, "c", 12),
    )
    assert [list(start.settings) for start in story.starts.all] == [["a", "b"], ["a", "b"], ["c"]]
    assert [start.lasted for start in story.starts.all] == [2.0, 0.0, 0.0]


def test_time_between_starts_does_not_count_as_training(tmp_path):
    def epoch(at, number):
        return "epoch", {"at": at, "epoch": number, "step": number * 10, "metrics": {"loss": 1.0}}

    story = write(
        tmp_path,
        ("begin", {"at": 100.0, "resumed": None}),
        epoch(105.0, 1),
        epoch(107.0, 2),
        ("begin", {"at": 1000.0, "resumed": "1.keras"}),
        epoch(1006.0, 2),
        epoch(1009.0, 3),
        epoch(1013.0, 4),
    )
    assert story.elapsed == {10: 5.0, 20: 7.0 + 6.0, 30: 7.0 + 9.0, 40: 7.0 + 13.0}
    assert story.epoch_seconds == 3.0  # of epochs 2, 3 and 4: the first epoch of a start compiles
    assert (story.trained, trained(story)) == (20.0, "at least 20 s")


def test_the_total_size_of_kept_checkpoints_follows_saves_and_prunes(tmp_path):
    def save(path, size):
        costs = {"size": size, "wait": 0, "snapshot": 0, "write": 0, "fsync": 0}
        return "save", {"path": path, "step": 1, "metrics": {}, "costs": costs}

    story = write(
        tmp_path, save("a", 10), save("b", 20), ("prune", {"path": "a", "step": 1}), save("c", 5), save("c", 6)
    )
    assert [(cost.size, cost.kept) for cost in story.costs] == [(10, 10), (20, 30), (5, 25), (6, 26)]
    assert "share on the disk" not in render(story)


def test_the_report_notes_that_shared_bytes_are_counted_in_each_checkpoint(tmp_path):
    costs = {"size": 20, "shared": 15, "wait": 0, "snapshot": 0, "write": 0, "fsync": 0}
    story = write(tmp_path, ("save", {"path": "a", "step": 1, "metrics": {}, "costs": costs}))
    assert [cost.shared for cost in story.costs] == [15]
    assert "Bytes that they share on the disk are counted in each of them." in render(story)


def test_a_start_lists_the_changes_since_the_previous_start(tmp_path):
    first = {"host": "a", "settings": {"keep_last": 3, "resume": True}, "environment": {"keras": "3.15"}}
    second = {"host": "a", "settings": {"keep_last": 5, "resume": True}, "environment": {"keras": "3.16", "jax": "1"}}
    story = write(tmp_path, ("begin", {"at": 1.0, **first}), ("begin", {"at": 2.0, **second}), ("begin", {"at": 3.0}))
    assert [changes for _, changes in story.starts.changes()] == [
        [],
        ["keep_last: 3 → 5", "keras: 3.15 → 3.16"],
        [],
    ]


def test_a_run_is_ranked_by_the_metric_that_it_monitored(tmp_path):
    asked = {"settings": {"monitor": "val_accuracy", "mode": "auto"}}
    story = write(tmp_path / "named", ("begin", {"at": 1.0, **asked}))
    assert (story.monitor, story.mode) == ("val_accuracy", "max")
    unknown = {"settings": {"monitor": "val_iou", "mode": "auto"}}
    story = write(tmp_path / "unknown", ("begin", {"at": 1.0, **unknown}))
    assert story.monitor == "val_loss"  # its direction is not known, so it ranks no checkpoint
    saved = {"step": 1, "metrics": {}, "costs": {}, "monitor": "val_iou", "mode": "max"}
    story = write(tmp_path / "known", ("begin", {"at": 1.0, **unknown}), ("save", saved))
    assert (story.monitor, story.mode) == ("val_iou", "max")
    asked_for = story_of(Run(tmp_path / "known"), "loss")
    assert (asked_for.monitor, asked_for.mode) == ("loss", "min")


def test_runs_are_labeled_by_their_shortest_distinct_paths():
    assert labels(["runs/a", "runs/b"]) == ["a", "b"]
    assert labels(["x/run", "s3://bucket/y/run"]) == ["x/run", "y/run"]
    assert labels(["C:\\runs\\a", "b"]) == ["a", "b"]
    assert labels(["/", "/"]) == ["/ (1)", "/ (2)"]


def test_rows_that_differ_are_marked():
    rows = side_by_side([{"a": "1", "b": "2"}, {"a": "1", "c": "3"}])
    assert [(row.name, row.cells, row.differs) for row in rows] == [
        ("a", ["1", "1"], False),
        ("b", ["2", ""], True),
        ("c", ["", "3"], True),
    ]

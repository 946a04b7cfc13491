"""What the report tells, from what the journal holds."""

from lastgood._run import Run
from lastgood._run.run import story_of


def write(directory, *events):
    run = Run(directory)
    for name, values in events:
        run.journal.append(name, **{"run": "r", "template": "t"} | values)
    return story_of(run)


def test_crashes_restarts_and_signals_are_on_the_time_line(tmp_path):
    story = write(
        tmp_path,
        ("begin", {"at": 1.0, "resumed": None, "environment": {"keras": "3.15.1"}}),
        ("begin", {"at": 2.0, "run": "other", "resumed": None}),
        ("begin", {"at": 3.0, "resumed": "t/1.keras"}),
        ("signal", {"at": 4.0, "name": "SIGTERM"}),
        ("end", {"at": 5.0, "stopped": False}),
        ("begin", {"at": 6.0, "resumed": "t/2.keras"}),
        ("end", {"at": 7.0, "stopped": True}),
    )
    assert [(each.at, each.what) for each in story.happenings] == [
        (1.0, "training began"),
        (2.0, "training began"),
        (3.0, "found that training had ended without a word"),
        (3.0, "resumed from t/1.keras"),
        (4.0, "SIGTERM came; the state was saved"),
        (5.0, "training ended"),
        (6.0, "resumed from t/2.keras"),
        (7.0, "training was stopped by a callback"),
    ]
    assert story.environment == {"keras": "3.15.1"}


def test_curves_are_of_epochs_and_of_saves_and_what_is_damaged_is_passed_over(tmp_path):
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

"""Eight processes save into one directory at once."""

import numpy as np
import pytest

from helpers.kit import keras
from lastgood import open_run

pytestmark = pytest.mark.long

PROCESSES = 8


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Run the processes, in three rounds; return (directory, their answers in each round)."""
    from scenarios.crowds.conftest import Child

    directory = tmp_path_factory.mktemp("crowd")
    children = [Child("crowd", str(directory), number) for number in range(PROCESSES)]
    try:
        answers = []
        for _ in range(3):
            for child in children:
                if not answers:
                    assert child.answer() == "ready"
            for child in children:
                child.go_on()
            answers.append([child.answer() for child in children])
        for child, answer in zip(children, answers[2], strict=True):
            if answer == "trains":
                child.go_on()
                answers.append(child.answer())
        assert [child.end() for child in children] == [0] * PROCESSES
    finally:
        for child in children:
            child.close()
    return directory, answers


def numbers(paths):
    """Return which process wrote each checkpoint, as stock Keras loads it: all its weights are the process's number."""
    found = []
    model = keras.Sequential([keras.Input((200,)), keras.layers.Dense(200)])
    model.compile("sgd", "mse")
    for path in paths:
        model.load_weights(path)
        values = {float(value) for weight in model.get_weights() for value in np.unique(weight)}
        assert len(values) == 1, f"{path} is of several processes: {values}"
        found.append(int(values.pop()))
    return found


def test_processes_with_different_templates_keep_only_their_own_checkpoints(crowd, names):
    directory, _ = crowd
    expected = [f"{n}-{start}-{epoch}.weights.h5" for n in range(PROCESSES) for start in range(2) for epoch in (3, 4)]
    assert names(directory / "own") == sorted(expected)
    paths = sorted((directory / "own").glob("*.weights.h5"))
    assert numbers(paths) == [int(path.name[0]) for path in paths]
    assert open_run(directory / "own").verify() == []


def test_processes_with_one_template_are_warned_and_leave_one_intact_checkpoint_per_name(crowd, names):
    directory, (_, warned, *_) = crowd
    assert names(directory / "shared") == [f"{epoch}.weights.h5" for epoch in range(1, 5)]
    assert set(numbers(sorted((directory / "shared").glob("*.weights.h5")))) <= set(range(PROCESSES))
    assert open_run(directory / "shared").verify() == []
    assert sum(count > 0 for count in warned) >= PROCESSES - 1  # the first one may have found no other


def test_with_retention_or_resume_one_process_trains_and_seven_are_refused(crowd, names):
    directory, (_, _, answers, last) = crowd
    assert answers.count("trains") == 1
    refused = [answer for answer in answers if answer != "trains"]
    assert all(answer.startswith("Another training saves to") and "process " in answer for answer in refused)
    assert last == "has trained"
    winner = answers.index("trains")
    assert names(directory / "alone")[-1] == "3.weights.h5"
    assert set(numbers((directory / "alone").glob("*.weights.h5"))) == {winner}

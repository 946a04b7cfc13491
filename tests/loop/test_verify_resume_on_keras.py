"""Does a training go on exactly: said, or told of by step and variable."""

import pytest

import lastgood
from helpers.crashing import build
from helpers.kit import keras


def test_a_training_that_goes_on_exactly_is_said_to(fit, capsys):
    def train(callbacks):
        keras.utils.set_random_seed(1)
        fit(build(), callbacks, epochs=3)

    lastgood.verify_resume(train, steps=25, interrupt_after=13)
    assert "25 steps, interrupted after 13, are bit-equal" in capsys.readouterr().out


def test_a_training_that_does_not_is_told_of_by_step_and_variable(fit):
    class Drift(keras.callbacks.Callback):
        """Has a state that it does not give to anybody."""

        def __init__(self):
            super().__init__()
            self.count = 0

        def on_train_batch_end(self, batch, logs=None):
            self.count += 1
            self.model.optimizer.learning_rate = 0.01 / self.count

    def train(callbacks):
        keras.utils.set_random_seed(1)
        fit(build(), [*callbacks, Drift()], epochs=2)

    with pytest.raises(lastgood.NotExactError, match=r"Step 7 differs after the restart at step 6\. First of"):
        lastgood.verify_resume(train)


def test_a_training_that_is_not_deterministic_is_told_of_as_that(fit):
    calls = []

    def train(callbacks):
        calls.append(1)
        keras.utils.set_random_seed(len(calls))
        fit(build(), callbacks, epochs=2)

    with pytest.raises(lastgood.NotExactError, match="the training itself is not deterministic"):
        lastgood.verify_resume(train)

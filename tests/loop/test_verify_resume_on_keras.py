"""verify_resume confirms that a training resumes exactly, or names the step and variable that differ."""

import pytest

import lastgood
from helpers.crashing import build
from helpers.kit import keras


def test_verify_resume_confirms_a_training_that_resumes_exactly(fit, capsys):
    def train(callbacks):
        keras.utils.set_random_seed(1)
        fit(build(), callbacks, epochs=3)

    lastgood.verify_resume(train, steps=25, interrupt_after=13)
    assert "25 steps, interrupted after 13, are bit-equal" in capsys.readouterr().out


def test_verify_resume_names_the_first_step_and_variable_that_differ(fit):
    class Drift(keras.callbacks.Callback):
        """Has state that no checkpoint contains."""

        def __init__(self):
            super().__init__()
            self.count = 0

        def on_train_batch_end(self, batch, logs=None):
            self.count += 1
            self.model.optimizer.learning_rate = 0.01 / self.count

    def train(callbacks):
        keras.utils.set_random_seed(1)
        fit(build(), [*callbacks, Drift()], epochs=2)

    first = r"Step 7 differs after the restart at step 6\. First of \d+ differing variables: '.*dense.*/kernel'\."
    with pytest.raises(lastgood.NotExactError, match=first):
        lastgood.verify_resume(train)


def test_verify_resume_reports_a_training_that_is_not_deterministic(fit):
    calls = []

    def train(callbacks):
        calls.append(1)
        keras.utils.set_random_seed(len(calls))
        fit(build(), callbacks, epochs=2)

    with pytest.raises(lastgood.NotExactError, match="the training itself is not deterministic"):
        lastgood.verify_resume(train)

"""Search for hyperparameters with KerasTuner, and continue the search after a crash.

Run it with ``KERAS_BACKEND=jax python tuner_search.py``, or with ``torch`` or ``tensorflow``. It needs
``pip install keras-tuner``, and on TensorFlow ``tensorboard``.

Each trial saves to its own directory, with ``resume=True``, and KerasTuner records which trials have finished. Kill the
script at any time and start it again with the same command: finished trials are not repeated, the one that was killed
continues after its last epoch, and the search finds what it would have found. To start over, delete the directory.

When you change it:

- Each ``fit()`` needs a path of its own. If a trial trains several models, add their number to the path.
- KerasTuner's own ``run_trial`` saves the best weights too, but after a restart it no longer knows how good they were
  and may overwrite them with worse ones. Here ``run_trial`` and ``load_model`` use the checkpoints of lastgood instead.
- KerasTuner treats an exception in a trial as a failed trial and continues with the next one.

The images are scikit-learn's handwritten digits.
"""

import argparse
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import lastgood


def build_model(parameters: keras_tuner.HyperParameters) -> keras.Model:
    """Return a small image classifier with the given hyperparameters."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(parameters.Int("filters", 4, 32, step=4), 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(parameters.Float("dropout", 0.0, 0.5, step=0.1)),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    rate = parameters.Float("learning_rate", 1e-4, 1e-2, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Search(keras_tuner.RandomSearch):
    """A random search whose trials resume."""

    def run_trial(self, trial: Any, *arguments: Any, **options: Any) -> Any:
        """Train the model of a trial, and return its history."""
        keras.utils.set_random_seed(0)  # a trial must not depend on the ones before it
        model = self.hypermodel.build(trial.hyperparameters)
        checkpoint = lastgood.ModelCheckpoint(
            Path(self.get_trial_dir(trial.trial_id), "{epoch:03d}.keras"),
            monitor="val_accuracy",
            keep_last=1,
            keep_best=1,
            resume=True,
        )
        return model.fit(*arguments, **options, callbacks=[checkpoint])

    def load_model(self, trial: Any) -> keras.Model:
        """Return the best model of a trial; ``get_best_models`` calls it."""
        return keras.models.load_model(lastgood.open_run(self.get_trial_dir(trial.trial_id)).best("val_accuracy").path)


def main(arguments: list[str] | None = None) -> None:
    """Search, and evaluate the best model."""
    parser = argparse.ArgumentParser(description="Search for hyperparameters with KerasTuner.")
    parser.add_argument("--directory", type=Path, default=Path("runs/search"), help="where the checkpoints go")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of each trial")
    parser.add_argument("--trials", type=int, default=5, help="how many sets of hyperparameters to try")
    given = parser.parse_args(arguments)

    digits = load_digits()
    images = digits.images[..., None].astype("float32") / 16.0
    x, x_held_out, y, y_held_out = train_test_split(images, digits.target, test_size=0.2, random_state=0)

    tuner = Search(
        build_model,
        objective="val_accuracy",
        max_trials=given.trials,
        seed=1,  # KerasTuner takes 0 for no seed
        directory=given.directory.parent,
        project_name=given.directory.name,
    )
    tuner.search(x, y, validation_split=0.2, batch_size=32, epochs=given.epochs, verbose=0)

    for trial in tuner.oracle.get_best_trials(given.trials):
        print(f"{trial.score:.3f} {trial.hyperparameters.values}")
    [best] = tuner.get_best_models(1)
    _, accuracy = best.evaluate(x_held_out, y_held_out, verbose=0)
    print(f"The best: {accuracy:.3f} accuracy on {len(y_held_out)} held-out images")


if __name__ == "__main__":
    main()

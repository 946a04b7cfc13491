"""Other packages in ``fit``: tuners that copy callbacks and prune trials, and Keras's own callbacks."""

import time
import warnings

import numpy as np
import pytest

from helpers.crashing import CrashAt, assert_alike, crash, start
from helpers.kit import keras
from lastgood import ModelCheckpoint
from lastgood.testing import Fault, faults

pytestmark = pytest.mark.any_backend


def _needs(package):
    return pytest.importorskip(package, reason=f"{package} is not installed: see pyproject.toml")


def _both(directory, name="{epoch}.keras", **options):
    """Return the callbacks of stock Keras and of lastgood, each with its own directory."""
    for each in ("stock", "ours"):
        (directory / each).mkdir(parents=True, exist_ok=True)
    stock = keras.callbacks.ModelCheckpoint(directory / "stock" / name, **options)
    return stock, ModelCheckpoint(directory / "ours" / name, **options)


def _assert_same_files(directory, names):
    """Check that both callbacks saved at least one file, with the same names and weights."""
    assert names(directory / "ours") == names(directory / "stock") != []
    for name in names(directory / "ours"):
        loaded = [keras.models.load_model(directory / each / name).get_weights() for each in ("ours", "stock")]
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*loaded, strict=True))


# Tuners


@pytest.mark.long
def test_with_keras_tuner_files_match_stock_keras_and_the_callback_is_unchanged(data, tmp_path, names):
    """Keras Tuner copies the callbacks for each trial."""
    keras_tuner = _needs("keras_tuner")

    def tuned(parameters):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(parameters.Int("width", 2, 6)), _sigmoid()])
        model.compile("adam", "binary_crossentropy")
        return model

    x, y = data
    stock, ours = _both(tmp_path, monitor="val_loss", save_best_only=True)
    options = {"objective": "val_loss", "max_trials": 3, "directory": tmp_path / "tuner", "seed": 1}
    tuner = keras_tuner.RandomSearch(tuned, **options)
    with warnings.catch_warnings():
        # Keras Tuner itself calls these deprecated methods.
        warnings.filterwarnings("ignore", r".*(currentThread|getName)\(\) is deprecated", DeprecationWarning)
        tuner.search(x, y, epochs=3, validation_data=(x, y), callbacks=[stock, ours], verbose=0)
    _assert_same_files(tmp_path, names)
    assert [trial.status for trial in tuner.oracle.get_best_trials(3)] == ["COMPLETED"] * 3
    assert ours.best is None
    assert ours.stats == []


def _sigmoid():
    return keras.layers.Dense(1, activation="sigmoid")


@pytest.mark.parametrize("fitted", [False, True])
def test_scikit_learn_clones_an_estimator_with_the_callback_as_with_stock_keras(
    data, tmp_path, names, make_model, fitted
):
    base = _needs("sklearn.base")

    class Trains(base.BaseEstimator):
        def __init__(self, checkpoint, epochs):
            self.checkpoint, self.epochs = checkpoint, epochs

        def fit(self, x, y):
            self.model_ = make_model()
            self.model_.fit(x, y, epochs=self.epochs, verbose=0, shuffle=False, callbacks=[self.checkpoint])
            return self

    for callback in _both(tmp_path):
        original = Trains(callback, 2)
        if fitted:
            original.fit(*data)
        keras.utils.set_random_seed(3)
        copy = base.clone(original)
        assert type(copy.checkpoint) is type(callback)
        assert copy.checkpoint is not callback
        assert copy.checkpoint.filepath == callback.filepath
        copy.set_params(epochs=3).fit(*data)
    _assert_same_files(tmp_path, names)
    assert names(tmp_path / "ours") == ["1.keras", "2.keras", "3.keras"]


def test_one_callback_for_all_scikit_learn_folds_saves_as_stock_keras_does(data, tmp_path, names):
    selection = _needs("sklearn.model_selection")

    def classifier(X, y):  # noqa: N803 - the wrapper's names
        model = keras.Sequential([keras.Input((4,)), _sigmoid()])
        model.compile("adam", "binary_crossentropy")
        return model

    stock, ours = _both(tmp_path, monitor="loss", save_best_only=True)
    wrapped, (x, y) = keras.wrappers.SKLearnRegressor(classifier), data
    options = {"params": {"callbacks": [stock, ours], "epochs": 2, "verbose": 0}, "error_score": "raise"}
    assert len(selection.cross_val_score(wrapped, x, y[:, 0], cv=3, **options)) == 3
    _assert_same_files(tmp_path, names)
    assert ours.best == stock.best


@pytest.fixture
def study():
    """A study whose second trial is pruned at the end of its first epoch."""
    optuna = _needs("optuna")
    _needs("optuna_integration")
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    class Second(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return trial.number == 1

    return optuna.create_study(pruner=Second())


def _objective(fit, make_model, directory):
    from optuna_integration import KerasPruningCallback

    def objective(trial):
        stock, ours = _both(directory / str(trial.number))
        trial.suggest_float("nothing", 0, 1)
        pruning = KerasPruningCallback(trial, "val_loss")
        return fit(make_model(), [stock, ours, pruning], epochs=3, validate=True).history["val_loss"][-1]

    return objective


def test_an_optuna_study_continues_after_a_pruned_trial(fit, make_model, tmp_path, names, study):
    study.optimize(_objective(fit, make_model, tmp_path), n_trials=3)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "COMPLETE"]
    for trial, epochs in zip("012", (3, 1, 3), strict=True):
        _assert_same_files(tmp_path / trial, names)
        assert len(names(tmp_path / trial / "ours")) == epochs


def test_a_pruned_optuna_trial_completes_its_save_before_it_raises(fit, make_model, tmp_path, study):
    import optuna

    objective, found = _objective(fit, make_model, tmp_path), []

    def looks(trial):
        try:
            return objective(trial)
        except optuna.TrialPruned:
            found.append((tmp_path / f"{trial.number}/ours/1.keras").exists())
            raise

    with faults(Fault("commit", lambda: time.sleep(0.5), nth=4)):
        study.optimize(looks, n_trials=3)
    assert found == [True]


# Keras's own callbacks


@pytest.mark.parametrize("best", [False, True])
@pytest.mark.parametrize("raises", [False, True])
def test_training_that_terminates_on_nan_leaves_the_same_files_as_stock_keras(
    data, make_model, tmp_path, names, best, raises
):
    x, y = data
    x = x.copy()
    x[30] = np.nan  # in the eighth batch
    stock, ours = _both(tmp_path, monitor="loss", save_best_only=best)
    model = make_model()
    model.compile("adam", "mse")
    model.fit(x[:20], y[:20], verbose=0, callbacks=[stock, ours])
    ends = keras.callbacks.TerminateOnNaN(**({"raise_error": True} if raises else {}))
    options = {"batch_size": 4, "shuffle": False, "verbose": 0, "initial_epoch": 1, "epochs": 4}
    try:
        model.fit(x, y, callbacks=[stock, ours, ends], **options)
        assert not raises
    except RuntimeError:
        assert raises
    ours.wait()
    _assert_same_files(tmp_path, names)
    assert ours.best == (stock.best if best else None)


def _backup(directory):
    return keras.callbacks.BackupAndRestore(directory / "backup")


class Epochs(keras.callbacks.Callback):
    """Records which epochs have ended."""

    def __init__(self):
        super().__init__()
        self.ended = []

    def on_epoch_end(self, epoch, logs=None):
        self.ended.append(epoch)


@pytest.mark.parametrize("first", [True, False])
def test_with_backup_and_restore_a_plain_checkpoint_continues_as_stock_keras_does(fit, tmp_path, names, first):
    """Only the backup restores the model."""

    def callbacks():
        stock, ours = _both(tmp_path)
        return [_backup(tmp_path), stock, ours] if first else [stock, ours, _backup(tmp_path)]

    crash(fit, [*callbacks(), CrashAt(batch=17)], epochs=4)
    epochs = Epochs()
    start(fit, [*callbacks(), epochs], epochs=4)
    assert epochs.ended == [1, 2, 3]
    _assert_same_files(tmp_path, names)
    assert names(tmp_path / "ours") == [f"{epoch}.keras" for epoch in (1, 2, 3, 4)]


@pytest.mark.parametrize("backup_first", [True, False])
@pytest.mark.parametrize(("save_freq", "left"), [("epoch", [1, 2]), (3, [1, 2])])
def test_with_backup_and_restore_a_checkpoint_with_resume_takes_precedence(
    fit, tmp_path, capsys, backup_first, save_freq, left
):
    """The checkpoint may be newer than the backup, even mid-epoch; training still equals an uninterrupted one."""

    def callbacks(directory, *more):
        path = directory / ("{epoch}.keras" if save_freq == "epoch" else "{epoch}-{batch}.keras")
        both = [_backup(directory), ModelCheckpoint(path, save_freq=save_freq, resume=True)]
        return [*(both if backup_first else reversed(both)), *more]

    crash(fit, callbacks(tmp_path / "a", CrashAt(batch=17)))
    epochs = Epochs()
    resumed = start(fit, callbacks(tmp_path / "a", epochs))
    assert "resumed from" in capsys.readouterr().out
    assert epochs.ended == left
    assert not (tmp_path / "a/backup").exists()
    assert_alike(start(fit, callbacks(tmp_path / "b"), other=False), resumed)


@pytest.mark.parametrize("backup_first", [True, False])
def test_if_backup_and_checkpoint_differ_in_epoch_training_resumes_from_the_checkpoint(fit, tmp_path, backup_first):
    """After a crash between the two at the end of an epoch, both epoch and weights come from the checkpoint."""

    def callbacks(directory, *between):
        both = [_backup(directory), ModelCheckpoint(directory / "{epoch}.keras", resume=True)]
        return [both[not backup_first], *between, both[backup_first]]

    crash(fit, callbacks(tmp_path / "a", CrashAt(epoch=1)))
    epochs = Epochs()
    resumed = start(fit, [*callbacks(tmp_path / "a"), epochs])
    assert epochs.ended == ([1, 2] if backup_first else [2])
    assert_alike(start(fit, callbacks(tmp_path / "b"), other=False), resumed)

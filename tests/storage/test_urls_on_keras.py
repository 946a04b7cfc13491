"""Complete trainings on memory:// and s3://, where nothing may depend on a file system."""

import itertools
import os
import tempfile

import numpy as np
import pytest

import lastgood
from helpers.crashing import CrashAt, assert_alike, build, crash, start
from helpers.kit import keras, to_numpy
from lastgood import Checkpointer, ModelCheckpoint, open_run

pytestmark = [
    pytest.mark.any_backend,
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning"),
]

ENDINGS = {".keras": False, ".weights.h5": True, ".h5": False, "": False, " (weights)": True}
"""The ending of a path, and whether only the weights are saved; the last is Orbax's directory, without an ending."""

_runs = itertools.count()


class Odd(keras.callbacks.Callback):
    """Logs a metric with known values."""

    def on_epoch_end(self, epoch, logs=None):
        logs["odd"] = [3.0, 1.0, 2.0, 4.0][epoch]


@pytest.fixture(params=["memory", "bucket", "google_bucket"])
def url(request):
    """Return the URL of a directory that no other test has."""
    if request.param != "memory":
        return request.getfixturevalue(request.param)
    return f"memory://tests/{os.getpid()}-{next(_runs)}"


@pytest.fixture(autouse=True)
def _nothing_on_disk(tmp_path, monkeypatch):
    """Redirect all that a process could write by itself to one directory, and check that it stays empty."""
    for name in ("here", "scratch"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    yield
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["here", "scratch"]


@pytest.fixture(params=ENDINGS, ids=lambda ending: ending or "directory")
def saved(request):
    """Return the ending of a path, and the arguments that choose the format with it."""
    ending = request.param
    if ending == " (weights)":
        pytest.importorskip("orbax.checkpoint")
    return "" if ending == " (weights)" else ending, {"save_weights_only": ENDINGS[ending]}


def anew(function, *arguments, **options):
    """Call what builds a model as a new process would: layers get the same names again."""
    keras.backend.clear_session()
    return function(*arguments, **options)


def places(run):
    return [str(each.path) for each in run.checkpoints]


def test_checkpoints_at_a_url_are_listed_and_verified(fit, url, saved):
    ending, options = saved
    checkpoint = ModelCheckpoint(f"{url}/{{epoch:02d}}{ending}", **options)
    history = fit(build(), [checkpoint], epochs=2).history
    run = open_run(url)
    assert places(run) == places(checkpoint.run) == [f"{url}/01{ending}", f"{url}/02{ending}"]
    assert [(each.step, each.epoch, each.metrics["loss"]) for each in run.checkpoints] == [
        (10, 1, history["loss"][0]),
        (20, 2, history["loss"][1]),
    ]
    assert [each.size for each in run.checkpoints] == [save.size for save in checkpoint.stats]
    assert run.verify() == []
    assert str(run.directory) == url


def test_a_checkpoint_is_loaded_and_restored_by_its_url(fit, url, saved):
    ending, options = saved
    model, other, third = (anew(build) for _ in range(3))
    fit(model, [ModelCheckpoint(f"{url}/m{ending}", **options)])
    for built in (other, third):
        built.set_weights([weight + 1 for weight in built.get_weights()])
    lastgood.load_weights(other, f"{url}/m{ending}")
    assert lastgood.restore(third, f"{url}/m{ending}").step == 10
    for loaded in (other, third):
        for one, two in zip(model.get_weights(), loaded.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)
    for one, two in zip(model.optimizer.variables, third.optimizer.variables, strict=True):
        np.testing.assert_array_equal(to_numpy(one), to_numpy(two))


def test_save_best_only_replaces_the_best_checkpoint_at_a_url(fit, url, saved):
    ending, options = saved
    best = ModelCheckpoint(f"{url}/best{ending}", monitor="odd", mode="min", save_best_only=True, **options)
    fit(build(), [Odd(), best], epochs=4)
    assert [each.epoch for each in open_run(url).checkpoints] == [2]
    assert best.best == 1.0


def test_retention_at_a_url_keeps_the_last_and_the_best(fit, url, saved):
    ending, options = saved
    kept = {"keep_last": 2, "keep_best": 1, "monitor": "odd", "mode": "min"}
    fit(build(), [Odd(), ModelCheckpoint(f"{url}/{{epoch:02d}}{ending}", **kept, **options)], epochs=4)
    assert places(open_run(url)) == [f"{url}/{epoch}{ending}" for epoch in ("02", "03", "04")]


def test_a_restart_from_a_url_within_an_epoch_is_exact(fit, url, saved, capsys):
    ending, options = saved
    path, options = f"{url}/{{epoch:02d}}-{{batch:02d}}{ending}", {"save_freq": 3, "resume": True, **options}
    anew(crash, fit, [ModelCheckpoint(path, **options), CrashAt(batch=17)])
    resumed = anew(start, fit, [ModelCheckpoint(path, **options)])
    assert f"resumed from {url}/02-05{ending}: epoch 2, batch 5 of 10" in capsys.readouterr().out
    assert_alike(start(fit, [], other=False), resumed)
    assert open_run(url).verify() == []


def test_pins_and_the_journal_need_no_disk(fit, url):
    checkpoint = ModelCheckpoint(f"{url}/{{epoch:02d}}.keras", keep_last=1, resume=True)

    class Pin(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                checkpoint.wait()
                open_run(url).pin(f"{url}/01.keras")

    fit(build(), [checkpoint, Pin()], epochs=3)
    assert places(open_run(url)) == [f"{url}/01.keras", f"{url}/03.keras"]
    events = [event["event"] for event in open_run(url).journal.events()]
    assert [event for event in events if event != "epoch"].count("save") == 3
    assert (events[0], events[-1]) == ("begin", "end")


def test_a_custom_loop_restores_by_url(url):
    for last in (2, 4):
        model = build()
        with Checkpointer(f"{url}/{{step}}.weights.h5", keep_last=2) as checkpointer:
            progress = checkpointer.restore(model)
            for step in range(progress.step + 1 if progress else 1, last + 1):
                checkpointer.save(model, step=step)
    assert progress.path == f"{url}/2.weights.h5"
    assert [each.step for each in open_run(url).checkpoints] == [3, 4]


def test_a_damaged_checkpoint_at_a_url_is_set_aside(fit, url, monkeypatch):
    """The digests find damage in any storage."""
    path, options = f"{url}/{{epoch:02d}}.weights.h5", {"save_weights_only": True, "resume": True}
    whole = start(fit, [ModelCheckpoint(path, **options)], other=False)
    damage(f"{url}/03.weights.h5")
    assert len(open_run(url).verify()) == 1
    with pytest.warns(UserWarning, match=r"03\.weights\.h5\.corrupt'; '.*02\.weights\.h5' is used instead"):
        resumed = start(fit, [ModelCheckpoint(path, **options)])
    assert_alike(whole, resumed)
    assert places(open_run(url)) == [f"{url}/0{epoch}.weights.h5" for epoch in (1, 2, 3)]


def test_a_load_error_names_the_url_of_the_checkpoint(fit, url, saved):
    """Not the path of the copy that is made for a reader that needs a file."""
    ending, options = saved
    fit(build(), [ModelCheckpoint(f"{url}/m{ending}", **options)])
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="only")])
    with pytest.raises(lastgood.RestoreError, match=f"Error loading file from {url}/m{ending}"):
        lastgood.load_weights(other, f"{url}/m{ending}")


def damage(url):
    """Change a byte in the middle of a file."""
    from lastgood._storage import locate

    at = locate(url)
    content = bytearray(at.read(2**30))
    content[len(content) // 2] ^= 1
    at.storage.put(at.path, bytes(content))

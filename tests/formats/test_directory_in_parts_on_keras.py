"""Weights in a directory as several processes write it together; here one process does, as if it were of several."""

import json
import shutil

import numpy as np
import pytest

import lastgood
from helpers import zoo
from helpers.kit import keras
from lastgood import ArgumentError, CorruptCheckpointError, LastgoodError, ModelCheckpoint, _json, open_run
from lastgood._bytes import directory_record
from lastgood._formats import zarr_parts
from lastgood._inspect import arrays
from lastgood._keras import adapt
from lastgood._keras.keras3 import Keras3Model
from lastgood._storage import locate
from lastgood._storage.stages import LocalStage

pytestmark = pytest.mark.skipif(not Keras3Model.reads_orbax(), reason="this release of Keras loads no such directory")
LARGE = 1 << 40
on_one_backend = pytest.mark.skipif(keras.backend.backend() != "jax", reason="no backend takes part in the checks")


@pytest.fixture
def save(monkeypatch):
    """Return a function that trains a model for an epoch, and saves it to a directory in parts."""

    def run(model, x, y, path, **arguments):
        with monkeypatch.context() as patched:
            patched.setattr(Keras3Model, "spans_processes", lambda _: True)
            callback = ModelCheckpoint(path, save_weights_only=True, **arguments)
            model.fit(x, y, batch_size=8, verbose=0, callbacks=[callback])
        assert not (path / "pytree" / "manifest.ocdbt").exists()
        return path

    return run


@pytest.mark.parametrize("builder", zoo.parameters())
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype", "ignore:.*build.* was called on layer 'vocabulary'")
def test_stock_keras_and_lastgood_load_every_model(builder, save, tmp_path):
    model, x, y = zoo.BUILDERS[builder]()
    if any(0 in variable.shape for variable in model.variables):
        with pytest.raises(ArgumentError, match="is empty"):
            save(model, x, y, tmp_path / "m")
        return
    saved = save(model, x, y, tmp_path / "m")
    expected = zoo.state(model)
    for load in (lambda fresh: fresh.load_weights(saved), lambda fresh: lastgood.load_weights(fresh, saved)):
        fresh = zoo.BUILDERS[builder]()[0]
        fresh.fit(x, y, batch_size=8, verbose=0)
        load(fresh)
        found = zoo.state(fresh)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert open_run(str(tmp_path)).verify() == []


def test_a_restart_is_exact(save, tmp_path):
    def trained():
        model, x, y = zoo.BUILDERS["norm_dropout"]()
        return model, x, y

    model, x, y = trained()
    saved = save(model, x, y, tmp_path / "m")
    expected = zoo.state(model)
    again, _, _ = trained()
    assert lastgood.restore(again, saved).epoch == 1
    for name, value in zoo.state(again).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def _edit(name, change):
    def edit(path):
        file = path / name
        said = json.loads(file.read_text())
        change(said)
        file.write_text(json.dumps(said))

    return edit


def _first_array(path):
    return next(each for each in sorted((path / "pytree").glob("trainable*")) if each.name.endswith("kernel"))


def _edit_array(change):
    return lambda path: _edit(_first_array(path) / "zarr.json", change)(path)


def _rename_in_tree(path):
    def change(said):
        leaf = next(each for each in said["tree_metadata"].values() if each["value_metadata"]["value_type"] != "Dict")
        leaf["key_metadata"][-1]["key"] = "..\\..\\evil"

    _edit("pytree/_METADATA", change)(path)


def _parts_of(*lengths):
    return {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": lengths}}}


HOSTILE = {
    "an array that claims more than is there": _edit_array(lambda said: said.update(shape=[LARGE], **_parts_of(LARGE))),
    "parts without a length": _edit_array(lambda said: said.update(_parts_of(0, 0))),
    "parts that do not divide the array": _edit_array(lambda said: said.update(_parts_of(5, 3))),
    "an unknown type": _edit_array(lambda said: said.update(data_type="object")),
    "a compressed array": _edit_array(lambda said: said.update(codecs=[{"name": "zstd"}])),
    "an array without a description": lambda path: (_first_array(path) / "zarr.json").unlink(),
    "a name that leads elsewhere": _rename_in_tree,
    "a tree that is no tree": _edit("pytree/_METADATA", lambda said: said.update(tree_metadata=[1])),
    "a missing part": lambda path: next(_first_array(path).glob("c*")).unlink(),
    "a short part": lambda path: next(_first_array(path).glob("c*")).write_bytes(b"12"),
}


def read_all(path):
    with arrays.open_weights(locate(path)) as weights:
        return [weights.raw(entry.name) for entry in weights.entries]


@on_one_backend
@pytest.mark.parametrize("forgery", HOSTILE)
def test_a_hostile_directory_is_an_error_and_changes_nothing(forgery, save, tmp_path):
    model, x, y = zoo.BUILDERS["norm_dropout"]()
    honest = save(model, x, y, tmp_path / "honest")
    hostile = tmp_path / "hostile"
    shutil.copytree(honest, hostile)
    HOSTILE[forgery](hostile)
    record, training = (read(locate(honest)) for read in (directory_record.read_record, directory_record.read_training))
    (hostile / "lastgood.json").unlink()
    directory_record.write_record(LocalStage(hostile, hostile), record, training)  # a forger can forge digests, too
    before = zoo.state(model)
    with pytest.raises((LastgoodError, OSError)):
        lastgood.load_weights(model, hostile)
    for name, value in zoo.state(model).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    with pytest.raises((LastgoodError, OSError)):
        read_all(hostile)


@on_one_backend
@pytest.mark.parametrize("content", ["", "[]", '{"groups": 1}', '{"groups": {}, "arrays": [["a", "b", "c"]]}'])
def test_a_hostile_description_as_hdf5_is_an_error(content, save, tmp_path):
    saved = save(*zoo.BUILDERS["norm_dropout"](), tmp_path / "m")
    (saved / "lastgood.weights.json").write_text(content)
    with pytest.raises(CorruptCheckpointError, match=r"lastgood\.weights\.json"), arrays.open_weights(locate(saved)):
        pass


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch allows no dot in the name of a variable")
def test_variables_that_orbax_would_confuse_are_refused_before_training(tmp_path):
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(1, name="b")(keras.layers.Dense(4, name="a")(inputs))
    model = keras.Model(inputs, outputs)
    for layer, path in zip(model.layers[1:], ("a.b/kernel", "a/b.kernel"), strict=True):
        layer.kernel._path = path  # Keras itself makes such paths for layers within layers
    model.compile("sgd", "mse")
    x = np.ones((8, 4), "float32")
    with pytest.raises(ArgumentError, match=r"'a\.b/kernel' and 'a/b\.kernel' would have the same name"):
        model.fit(x, x[:, :1], callbacks=[ModelCheckpoint(tmp_path / "m", save_weights_only=True)])


@on_one_backend
def test_more_parts_than_a_record_can_list_are_refused(monkeypatch):
    model = zoo.norm_dropout()[0]
    monkeypatch.setattr(_json, "DIRECTORY", _json.RECORD + 100)
    with pytest.raises(ArgumentError, match="more files than a directory can have"):
        zarr_parts.check(adapt(model), [])

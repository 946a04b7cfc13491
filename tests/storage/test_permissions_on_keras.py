"""Who can read a checkpoint: those who could read one of stock Keras."""

import os
import stat

import numpy as np
import pytest

from helpers.kit import TF_KERAS, keras
from lastgood import ModelCheckpoint, SaveError

pytestmark = pytest.mark.any_backend

FORMATS = {"m.keras": False, "m.weights.h5": True, "m.h5": False}
if TF_KERAS:
    FORMATS |= {"group": True, "saved_model": False}


@pytest.fixture(params=[0o022, 0o002, 0o077], ids=oct)
def umask(request):
    """Set another umask, and put the old one back afterwards."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(directory):
    return {
        str(path.relative_to(directory)): oct(stat.S_IMODE(path.lstat().st_mode)) for path in [*directory.rglob("*")]
    }


def save(make, path, *, weights_only, **options):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="d")])
    model.compile("sgd", keras.losses.MeanSquaredError())
    checkpoint = make(path, save_weights_only=weights_only, **options)
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(0, {"loss": 1.0})
    if isinstance(checkpoint, ModelCheckpoint):
        checkpoint.wait()
    return model


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", FORMATS)
def test_checkpoints_have_the_same_permissions_as_those_of_stock_keras(tmp_path, umask, name):
    stock, ours = tmp_path / "stock", tmp_path / "ours"
    save(keras.callbacks.ModelCheckpoint, str(stock / "new" / name), weights_only=FORMATS[name])
    save(ModelCheckpoint, str(ours / "new" / name), weights_only=FORMATS[name])
    assert_alike(modes(stock), modes(ours), umask)


@pytest.mark.skipif(TF_KERAS, reason="directories of Keras 3")
def test_directories_have_the_same_permissions_as_those_of_keras(tmp_path, umask):
    ours = tmp_path / "ours"
    model = save(ModelCheckpoint, str(ours / "new" / "m"), weights_only=False)
    (tmp_path / "stock" / "new").mkdir(parents=True)
    model.save(tmp_path / "stock" / "new" / "m", zipped=False)
    assert_alike(modes(tmp_path / "stock"), modes(ours), umask)


@pytest.mark.skipif(TF_KERAS, reason="directories of Keras 3")
def test_directories_have_the_same_permissions_as_those_of_orbax(tmp_path, umask):
    from orbax.checkpoint import v1 as ocp

    model = save(ModelCheckpoint, str(tmp_path / "ours" / "new" / "m"), weights_only=True)
    (tmp_path / "stock" / "new").mkdir(parents=True)
    tree = keras.tree.map_structure(np.array, model.get_state_tree(value_format="numpy_array"))
    ocp.save_checkpointables(tmp_path / "stock" / "new" / "m", {"pytree": tree})
    assert_alike(modes(tmp_path / "stock"), modes(tmp_path / "ours"), umask)


def assert_alike(stock, ours, umask):
    if TF_KERAS:  # TensorFlow creates directories that only the owner can write to, whatever the umask is
        stock["new"] = oct(0o777 & ~umask)
    assert "new" in ours
    assert {name: ours.get(name, mode) for name, mode in stock.items()} == stock
    usual = {oct(0o666 & ~umask), oct(0o777 & ~umask)}
    assert set(ours.values()) <= usual | set(stock.values())


def test_all_files_of_a_run_have_the_permissions_that_the_umask_allows(tmp_path, umask, make_model, fit):
    fit(make_model(), [ModelCheckpoint(tmp_path / "run" / "{epoch}.keras", resume=True, keep_last=2)])
    found = modes(tmp_path)
    assert {"run/.lastgood", "run/.lastgood/journal.jsonl", "run/1.keras"} <= found.keys()
    for name, mode in found.items():
        assert mode == oct((0o777 if (tmp_path / name).is_dir() else 0o666) & ~umask), name


def test_a_replaced_file_keeps_its_permissions_and_owner(tmp_path):
    for name, make in (("stock.keras", keras.callbacks.ModelCheckpoint), ("ours.keras", ModelCheckpoint)):
        path = tmp_path / name
        path.write_bytes(b"")
        path.chmod(0o640)
        if not os.geteuid():
            os.chown(path, 1234, 5678)
        save(make, str(path), weights_only=False)
        found = path.stat()
        assert found.st_size
        assert oct(stat.S_IMODE(found.st_mode)) == oct(0o640)
        assert os.geteuid() or (found.st_uid, found.st_gid) == (1234, 5678)


def test_a_read_only_file_is_not_replaced(tmp_path, fit, make_model):
    """As with stock Keras, which cannot write to it."""
    path = tmp_path / "best.keras"
    path.write_bytes(b"what must stay")
    path.chmod(0o444)
    before = os.geteuid()
    if not before:
        tmp_path.chmod(0o777)
        for parent in tmp_path.parents[:-2]:
            parent.chmod(0o755)
        os.seteuid(65534)  # root could write to it
    try:
        with pytest.raises(OSError, match="Permission denied"):
            save(keras.callbacks.ModelCheckpoint, str(path), weights_only=False)
        with pytest.raises(SaveError, match=r"best\.keras': Permission denied"):
            fit(make_model(), [ModelCheckpoint(path), NoEpoch()])
        with pytest.raises(SaveError, match=r"best\.keras': Permission denied"):
            save(ModelCheckpoint, str(path), weights_only=False)
    finally:
        os.seteuid(before)
    assert path.read_bytes() == b"what must stay"


class NoEpoch(keras.callbacks.Callback):
    """Fails if training begins."""

    def on_epoch_begin(self, epoch, logs=None):
        raise AssertionError("training began")

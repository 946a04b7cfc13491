"""Where files can share blocks, unchanged state is on the disk once, and each checkpoint is complete."""

import os
import shutil
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import lastgood
from helpers.kit import keras
from scenarios.crash.disks import power_disk, small_disk
from scenarios.file_systems.mounts import CannotMountError, mount_again, mounted

EPOCHS = 10
_WIDTH = 720  # 8 MB of weights, of which the head and its optimizer state are 4 %
_X = np.random.default_rng(0).normal(size=(4, _WIDTH)).astype("float32")


def make():
    """Return a model whose backbone is frozen."""
    keras.utils.set_random_seed(1)
    backbone = [keras.layers.Dense(_WIDTH, name=f"frozen_{i}", trainable=False) for i in range(4)]
    model = keras.Sequential([keras.Input((_WIDTH,)), *backbone, keras.layers.Dense(40, name="head")])
    model.compile(keras.optimizers.Adam(name="adam"), "mse")
    return model


def train(directory, name, *others, epochs=EPOCHS, **options):
    """Train with a save in each epoch; return the callback, and the weights and the bytes written in each epoch."""
    weights, written = [], [_written()]

    class Watcher(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            weights.append(self.model.get_weights())
            written.append(_written())

    options = {"save_weights_only": name.endswith(".weights.h5"), "background": False, "monitor": "loss", **options}
    checkpoint = lastgood.ModelCheckpoint(directory / name, **options)
    make().fit(_X, _X[:, :40], epochs=epochs, verbose=0, callbacks=[checkpoint, Watcher(), *others])
    return checkpoint, weights, np.diff(written)


def _written():
    """Return how many bytes this process has written to disks."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def _used(root):
    os.sync()
    found = os.statvfs(root)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


@pytest.fixture
def as_root():
    if os.geteuid():
        pytest.skip("mounting file systems needs root")


@pytest.fixture(params=["XFS", "btrfs"])
def mount(as_root, request, tmp_path):
    """Return a function that mounts a file system with shared blocks, and yields its directory."""

    @contextmanager
    def made():
        try:
            with mounted(request.param, tmp_path) as root:
                yield root
        except CannotMountError as error:
            pytest.skip(f"this file system cannot be mounted here: {error}")

    return made


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_unchanged_state_is_written_once_and_stock_keras_loads_each_file(mount, ending):
    with mount() as root:
        before = _used(root)
        checkpoint, weights, written = train(root, f"{{epoch:02d}}{ending}", keep_last=EPOCHS)
        size = checkpoint.stats[0].size
        assert written[0] > size * 0.99
        assert max(written[1:]) < size * 0.08
        assert _used(root) - before < size * 1.5
        shared = [each.shared for each in lastgood.open_run(root).checkpoints]
        assert shared == [each.shared for each in checkpoint.stats]
        assert shared[0] == 0
        assert min(shared[1:]) > size * 0.94
        assert _damaged(root) == []
        for epoch, expected in enumerate(weights, 1):
            _check(root / f"{epoch:02d}{ending}", expected)


def _check(path, expected):
    """Check that stock Keras loads the expected weights from a checkpoint."""
    if path.suffix == ".keras":
        model = keras.models.load_model(path)
    else:
        model = make()
        model.set_weights([weight + 1 for weight in model.get_weights()])
        model.optimizer.build(model.trainable_variables)
        model.load_weights(path)
    for one, other in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_directories_and_an_overwritten_file_share_blocks_too(mount):
    with mount() as root:
        for name in ("directory/{epoch}", "one.keras"):
            checkpoint, _, _ = train(root, name, epochs=2, save_weights_only=False)
            assert checkpoint.stats[1].shared > checkpoint.stats[1].size * 0.94
        assert _damaged(root) == []


def test_pruning_a_checkpoint_leaves_those_that_share_its_blocks_intact(mount):
    with mount() as root:
        _, weights, _ = train(root, "{epoch}.keras", epochs=4, keep_last=1)
        left = {path.name for path in root.glob("*.keras")}
        assert {"4.keras"} <= left < {"1.keras", "2.keras", "3.keras", "4.keras"}
        assert _damaged(root) == []
        _check(root / "4.keras", weights[-1])


def test_damage_to_a_shared_block_is_found_in_each_file_that_has_it(mount, tmp_path):
    with mount() as root:
        _, weights, _ = train(root, "{epoch}.keras", epochs=2)
        _damage(tmp_path, weights[0][0])
        mount_again(tmp_path)
        assert _damaged(root) == ["1.keras", "2.keras"]


def test_a_damaged_block_is_written_again_instead_of_shared(mount, tmp_path):
    """Shared blocks are read back first, so the newest checkpoint is intact when it is committed."""

    class Damage(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                _damage(tmp_path, self.model.get_weights()[0])

    with mount() as root:
        checkpoint, _, _ = train(root, "{epoch}.keras", Damage(), epochs=3)
        assert 0 < checkpoint.stats[1].shared < checkpoint.stats[2].shared
        assert _damaged(root) == ["1.keras"]


def _damage(where, weight):
    """Change a byte of a weight on the mounted disk, where it is stored only once."""
    image, pattern = where / "below" / "image", weight.tobytes()[40_000:40_512]
    content = image.read_bytes()
    at = content.find(pattern)
    assert at > 0
    assert content.find(pattern, at + 1) < 0
    with image.open("r+b") as file:
        file.seek(at)
        file.write(bytes([pattern[0] ^ 1]))


def _damaged(run):
    return sorted(Path(each.path).name for each in lastgood.open_run(run).verify())


def test_shared_blocks_survive_a_power_cut(as_root, tmp_path):
    if shutil.which("mkfs.xfs") is None:
        pytest.skip("mkfs.xfs is not installed")
    with power_disk("XFS", tmp_path) as disk:
        directory = disk.fresh()
        _, weights, _ = train(directory, "{epoch}.keras", epochs=3)
        disk.cut()
        assert _damaged(directory) == []
        assert lastgood.open_run(directory).latest.epoch == 3
        _check(directory / "3.keras", weights[-1])


@pytest.mark.parametrize("which", ["tmpfs", "ext4"])
def test_on_a_file_system_without_sharing_each_checkpoint_is_written_in_full(as_root, tmp_path, which):
    with (small_disk if which == "tmpfs" else partial(power_disk, which))(tmp_path) as disk:
        checkpoint, weights, _ = train(disk.root, "{epoch}.keras", epochs=3)
        assert [each.shared for each in checkpoint.stats] == [0, 0, 0]
        _check(disk.root / "3.keras", weights[-1])

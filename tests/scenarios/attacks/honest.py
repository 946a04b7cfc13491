"""Checkpoints as a training leaves them, from which the hostile ones are made. Anybody can forge one."""

import json
import shutil
import zipfile
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

import lastgood
from helpers.kit import TF_KERAS, keras
from lastgood._bytes import digests
from lastgood._bytes.training_block import TrainingBlock, read_block
from lastgood._formats import hdf5_by_stock
from lastgood._record import Record, RecordText
from lastgood._storage.stages import LocalStage


class Honest:
    """A model, and checkpoints of it."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True)
        keras.utils.set_random_seed(1)
        layers = [keras.layers.Dense(16, activation="relu"), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
        inputs = keras.Input((4,))
        outputs = inputs
        for layer in layers:
            outputs = layer(outputs)
        self.model = keras.Model(inputs, outputs)
        self.model.compile("adam", "mse")
        generator = np.random.default_rng(0)
        self.x, self.y = generator.normal(size=(16, 4)).astype("float32"), np.ones((16, 1), "float32")
        self.fit()

    def fit(self, *callbacks, epochs=1, **arguments):
        """Train for an epoch of two batches."""
        self.model.fit(
            self.x,
            self.y,
            batch_size=8,
            epochs=epochs,
            verbose=0,
            shuffle=False,
            callbacks=list(callbacks),
            **arguments,
        )

    def save(self, name, **arguments):
        """Train, and return the path of a checkpoint that lastgood has saved."""
        path = self.directory / name
        self.fit(lastgood.ModelCheckpoint(path, **arguments))
        return path

    @cached_property
    def archive(self):
        return self.save("honest.keras")

    @cached_property
    def weights(self):
        return self.save("honest.weights.h5", save_weights_only=True)

    @cached_property
    def legacy(self):
        return self.save("honest.h5", save_weights_only=True)

    @cached_property
    def legacy_model(self):
        return self.save("whole.h5")

    @cached_property
    def keras_directory(self):
        return self.save("honest")

    @cached_property
    def orbax_directory(self):
        return self.save("weights", save_weights_only=True)

    @cached_property
    def tf_checkpoint(self):
        return self.save("group", save_weights_only=True)

    @cached_property
    def saved_model(self):
        return self.save("saved")

    @cached_property
    def record(self):
        """A record, as plain values."""
        with zipfile.ZipFile(self.archive) as archive:
            return json.loads(archive.comment)

    @cached_property
    def block(self):
        """What a training state holds."""
        with h5py.File(self.weights) as file:
            return read_block(file["_lastgood/training"][:].tobytes())

    @cached_property
    def stock_weights(self):
        """A file that stock Keras wrote."""
        path = self.directory / "stock.weights.h5"
        self.model.save_weights(path)
        return path

    @cached_property
    def stock_legacy(self):
        """A legacy file of weights, as stock Keras writes it."""
        path = self.directory / "stock.h5"
        content = self.legacy.read_bytes()
        path.write_bytes(content[: -16 - int.from_bytes(content[-16:-8], "little")])
        with h5py.File(path, "r+") as file:
            del file.attrs["lastgood"], file["_lastgood"]
        return path

    @cached_property
    def stock_archive(self):
        path = self.directory / "stock.keras"
        self.model.save(path)
        return path

    @cached_property
    def other(self):
        """A directory like another run's, with a checkpoint whose template names the directory."""
        path = self.directory / "other"
        path.mkdir()
        for epoch in (1, 2):
            values = {**self.record, "template": "other/{epoch:02d}.keras", "step": epoch, "epoch": epoch}
            forge_archive(self.archive, path / f"{epoch:02d}.keras", json.dumps(values))
        return path

    def with_training(self, path, block):
        """Write weights with a training state, and with matching digests."""
        values = {**self.record, "format": "weights.h5", "table": None}
        record = Record.from_text(RecordText(json.dumps(values)))

        def copy(file):
            with h5py.File(self.stock_weights) as stock:
                for name in stock:
                    stock.copy(name, file)

        hdf5_by_stock.snapshot(copy, 1000, record, block).write(LocalStage(path, path), lambda size: None)
        return path


def pack(tree):
    """Return a training state as a save would write it."""

    def copy(sources, destinations):
        for source, destination in zip(sources, destinations, strict=True):
            destination[...] = source

    return TrainingBlock(tree).to_bytes(copy)


def raw_block(text, arrays=b""):
    """Return a training state with any text."""
    start = -(-(8 + len(text)) // 64) * 64
    return (len(text).to_bytes(8, "little") + text).ljust(start, b"\0") + arrays


def forge_archive(source, target, comment, members=None):
    """Write a ``.keras`` file like another, with any record and other members, and with a matching digest."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as forged:
        for info in archive.infolist():
            content = (members or {}).pop(info.filename, None) or archive.read(info)
            forged.writestr(info.filename, content)
        for name, content in (members or {}).items():
            forged.writestr(name, content)
        forged.comment = comment.encode() if isinstance(comment, str) else comment
    with zipfile.ZipFile(target) as archive:
        info = archive.getinfo("model.weights.h5")
        start = info.header_offset + 30 + len(info.filename)
    _seal(target, start, forged.comment, 0)
    return target


def forge_end(source, target, text):
    """Write an HDF5 file like another, with any record, and with a matching digest."""
    content = source.read_bytes()
    length = int.from_bytes(content[-16:-8], "little")
    text = text.encode() if isinstance(text, str) else text
    target.write_bytes(content[: -16 - length] + text + len(text).to_bytes(8, "little") + b"lastgood")
    _seal(target, 0, text, 16)
    return target


def forge_bundle(source, target, table=None, training=None, lengths=None):
    """Write a TensorFlow checkpoint like another, with other contents, and with a matching digest."""
    for member in source.parent.glob(f"{source.name}.*"):
        shutil.copy(member, target.with_name(target.name + member.name.removeprefix(source.name)))
    path = target.with_name(target.name + ".data-00001-of-00002")
    content = path.read_bytes()
    end = len(content) - 16 - int.from_bytes(content[-16:-8], "little")
    numbers = [int.from_bytes(content[at : at + 8], "little") for at in (end - 16, end - 8)]
    start = end - 16 - sum(numbers)
    training = content[start : start + numbers[0]] if training is None else training
    table = content[start + numbers[0] : end - 16] if table is None else table
    lengths = lengths or (len(training), len(table))
    head = content[:start] + training + table + b"".join(number.to_bytes(8, "little") for number in lengths)
    path.write_bytes(head + content[end:])
    digests.seal_file(path, len(head), RecordText(content[end:-16].decode()))
    return target


def _seal(path, start, record, behind):
    """Write the digest into the record, if it has a place for it."""
    memory = np.fromfile(path, np.uint8)
    at = len(memory) - behind - len(record)
    text = RecordText(record.decode(errors="replace"))
    place = b'"crc32": "'
    found = record.find(place)
    if found < 0:
        return
    extents = []
    if text.table and 0 <= text.table[0] < text.table[0] + text.table[1] <= len(memory) - start:
        offset, length = text.table
        rows = memory[start + offset : start + offset + length].view("<u8").reshape(-1, 3)
        extents = [(start + int(o), int(n)) for o, n, _ in rows]
    digest = at + found + len(place)
    memory[digest : digest + 8] = np.frombuffer(b"00000000", np.uint8)
    value = digests._of_rest(digests._in_memory(memory), len(memory), extents, digest)
    memory[digest : digest + 8] = np.frombuffer(value.encode(), np.uint8)
    memory.tofile(path)


__all__ = ["TF_KERAS", "Honest", "forge_archive", "forge_bundle", "forge_end", "pack", "raw_block"]

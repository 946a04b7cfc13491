"""Which format a path selects and a file has; and that a new format needs only a line in the table."""

import io
import zipfile
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
import pytest

from lastgood import ArgumentError, CorruptCheckpointError, TargetIsDirectoryError, open_run
from lastgood._engine import Engine, Settings
from lastgood._formats import Snapshot, choose_format, file_suffixes, format_at, registry
from lastgood._formats.base import FileFormat
from lastgood._formats.directory import DirectoryFormat
from lastgood._moment import Moment
from lastgood._policies.naming import Template
from lastgood._record import Record, RecordText
from lastgood._storage import locate


def _choose(text, weights_only):
    return choose_format(text, Template(text).suffix, weights_only=weights_only).name


@pytest.mark.parametrize(
    ("text", "weights_only", "name"),
    [
        ("m.keras", False, "keras"),
        ("{epoch}-{val_loss:.2f}.weights.h5", True, "weights.h5"),
        ("m.h5", False, "h5"),
        ("m.hdf5", False, "h5"),
        ("m.h5", True, "h5 weights"),
        ("weights.{epoch:02d}-{val_loss:.2f}.hdf5", True, "h5 weights"),
        ("/tmp/checkpoint", True, "orbax directory"),
        ("/tmp/checkpoint", False, "keras directory"),
        ("cp-{epoch:04d}.ckpt", True, "orbax directory"),
        ("{epoch:02d}-{val_loss:.2f}", True, "orbax directory"),
        ("m.keras", None, "keras"),
        ("{step}.weights.h5", None, "weights.h5"),
        ("m.h5", None, "h5"),
        ("/tmp/checkpoint", None, "keras directory"),
    ],
)
def test_the_ending_of_a_path_selects_the_format(text, weights_only, name):
    assert _choose(text, weights_only) == name


@pytest.mark.parametrize(
    ("text", "weights_only", "name"),
    [
        ("m.keras", None, "keras"),
        ("m.weights.h5", None, "weights.h5"),
        ("m.h5", None, "h5"),
        ("m", None, "saved model"),
        ("m.keras", True, "h5 weights"),
        ("m", True, "tf checkpoint"),
        ("m.ckpt", True, "tf checkpoint"),
    ],
)
def test_the_ending_of_a_path_selects_the_format_for_tf_keras_too(text, weights_only, name):
    suffix = Template(text).suffix
    assert choose_format(text, suffix, weights_only=weights_only, generation="tf_keras").name == name


@pytest.mark.parametrize(
    ("text", "weights_only", "says"),
    [
        ("m.weights.h5", False, "save_weights_only=True"),
        ("m.keras", True, ".weights.h5"),
        ("m.kears", False, "Did you mean '.keras'"),
        ("m.kears", None, "Did you mean '.keras'"),
        ("m.hdf", False, "Did you mean '.hdf5'"),
        ("m.safetensors", True, "no format"),
        ("m.weights.json", True, "no format"),
        ("m.pt", True, "no format"),
    ],
)
def test_an_unsupported_ending_is_refused(text, weights_only, says):
    with pytest.raises(ValueError, match="filepath") as caught:
        _choose(text, weights_only)
    assert isinstance(caught.value, ArgumentError)
    assert says in str(caught.value)


# A new format


class Demo(FileFormat):
    """A NumPy archive of arrays and a record."""

    name = "demo"
    endings: ClassVar = {"keras": (".demo",)}
    weights_only = True
    describes = "weights only"
    only_reader = "NumPy"
    suffix = ".demo"

    def prepare(self, adapter, training):
        return 0

    def snapshot(self, adapter, record, training):
        arrays = {name: array.copy() for name, array in adapter.arrays.items()}

        def write(stage, report):
            content = io.BytesIO()
            np.savez(content, record=np.array(record.to_text().text), **arrays)
            stage.write("", content.getvalue())
            report(stage.size())

        return Snapshot(write)

    def unsaved_variables(self, adapter):
        return []

    def read_record(self, at):
        try:
            return Record.from_text(RecordText(str(self._read(at)["record"])))
        except (CorruptCheckpointError, KeyError):
            return None

    def read_training(self, at):
        return None

    def verify(self, at):
        self._read(at)

    @contextmanager
    def loading(self, adapter, at, *, verified=False, exact=False):
        arrays = self._read(at)
        yield lambda: adapter.arrays.update({name: arrays[name] for name in adapter.arrays})

    def _read(self, at):
        with at.open() as file, file.window(0, file.size) as window:
            try:
                return dict(np.load(window))
            except (ValueError, OSError, zipfile.BadZipFile) as error:
                raise CorruptCheckpointError(at, "its arrays", str(error)) from error


class DemoDirectory(DirectoryFormat):
    """A directory that is recognized by a marker file."""

    name = "demo directory"
    endings: ClassVar = {"keras": (".demos",)}
    weights_only = False
    describes = "whole model"
    only_reader = "nobody"
    markers: ClassVar = {"demo.txt"}

    prepare = snapshot = unsaved_variables = loading = None


class Model:
    """What the engine needs of a model, without a framework."""

    generation = "keras"

    def __init__(self, **arrays):
        self.arrays = arrays

    def version(self):
        return "0"

    def backend(self):
        return "numpy"

    def is_chief(self):
        return True

    def build_optimizer(self):
        pass

    def state_bytes(self):
        return 100

    def metric_directions(self):
        return {}

    def own_save(self, *, weights_only):
        return None


@pytest.fixture
def _demo(monkeypatch):
    """Add formats as their author would: first in the table, because the format of Orbax accepts any directory."""
    monkeypatch.setattr(registry, "FORMATS", [Demo, DemoDirectory, *registry.FORMATS])


def save(template, epochs, **policy):
    """Save to a template as a loop does, with different numbers in each epoch."""
    defaults = {"keep_last": None, "keep_best": None, "keep_every": None, "keep": None, **policy}
    settings = Settings.parse(
        template,
        owner="test",
        generation="keras",
        monitor="loss",
        mode="min",
        weights_only=None,
        background=True,
        on_error="raise",
        on_save=None,
        mirror=None,
        **defaults,
    )
    model, engine = Model(a=np.arange(3.0)), Engine(settings)
    engine.begin(model, lambda unsaved: None)
    for epoch in range(1, epochs + 1):
        model.arrays["a"] = np.arange(3.0) * epoch
        moment = Moment(epoch, None, "loop", _logs=lambda: {"loss": 1.0}, _step=lambda epoch=epoch: 10 * epoch)
        engine.save(moment, model, engine.series.path(moment), lambda unsaved: None)
        model.arrays["a"] = np.zeros(3)
    engine.wait()
    assert [each.error for each in engine.ended()] == [None] * epochs
    engine.end(stopped=False)
    return engine


@pytest.mark.usefixtures("_demo")
def test_a_new_format_is_selected_by_its_ending():
    assert _choose("{epoch}.demo", None) == _choose("m.demo", True) == "demo"
    assert _choose("m.demos", None) == "demo directory"
    assert ".demo" in file_suffixes()
    for text, weights_only, says in (
        ("m.demo", False, "holds weights only"),
        ("m.demos", True, "holds a whole model"),
        ("m.dmeo", True, "Did you mean '.demo'"),
        ("m.pt", True, "'.demo' \\(weights only\\)"),
    ):
        with pytest.raises(ArgumentError, match=says):
            _choose(text, weights_only)


@pytest.mark.usefixtures("_demo")
@pytest.mark.parametrize("where", ["local", "memory"])
def test_a_new_format_is_saved_found_listed_pruned_loaded_and_verified(tmp_path, where):
    directory = str(tmp_path) if where == "local" else f"memory://{tmp_path.name}"
    engine = save(f"{directory}/{{epoch}}.demo", 4, keep_last=2, keep_best=1)
    assert [stats.path for stats in engine.stats] == [f"{directory}/{epoch}.demo" for epoch in (1, 2, 3, 4)]
    run = open_run(directory)
    listed = [{name: each[name] for name in ("path", "format", "step", "best", "latest")} for each in run.listing()]
    assert listed == [
        {"path": "1.demo", "format": "demo", "step": 10, "best": True, "latest": False},
        {"path": "3.demo", "format": "demo", "step": 30, "best": False, "latest": False},
        {"path": "4.demo", "format": "demo", "step": 40, "best": False, "latest": True},
    ]
    assert run.best("loss").epoch == 1
    assert engine.series.newest() == locate(run.latest.path)
    assert run.verify() == []
    at, loaded = locate(run.latest.path), Model(a=np.zeros(3))
    assert isinstance(format_at(at), Demo)
    with format_at(at).loading(loaded, at) as fill:
        fill()
    assert loaded.arrays["a"].tolist() == [0.0, 4.0, 8.0]


@pytest.mark.usefixtures("_demo")
def test_a_new_format_finds_damage_and_does_not_replace_a_foreign_directory(tmp_path):
    save(tmp_path / "{epoch}.demo", 2)
    run, path = open_run(tmp_path), tmp_path / "1.demo"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (problem,) = run.verify()
    assert (problem.path, problem.region) == (path, "its arrays")
    assert [each.format for each in run.checkpoints] == ["demo", "demo"]
    (tmp_path / "taken.demo").mkdir()
    with pytest.raises(TargetIsDirectoryError, match="not a checkpoint of the format 'demo'"):
        save(tmp_path / "taken.demo", 1)


@pytest.mark.usefixtures("_demo")
def test_a_directory_of_a_new_format_is_one_checkpoint(tmp_path):
    (tmp_path / "runs" / "m").mkdir(parents=True)
    (tmp_path / "runs" / "m" / "demo.txt").write_text("all that there is")
    (tmp_path / "runs" / "m" / "part.keras").write_bytes(b"PK")
    run = open_run(tmp_path)
    assert [(each.path, each.format) for each in run.checkpoints] == [(tmp_path / "runs" / "m", "demo directory")]
    assert run.verify() == []


def test_a_format_that_is_not_in_the_table_is_unknown(tmp_path):
    (tmp_path / "1.demo").write_bytes(b"PK")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "demo.txt").write_text("")
    assert open_run(tmp_path).checkpoints == []
    assert _choose("m.demo", True) == "orbax directory"  # a directory's name may end in anything

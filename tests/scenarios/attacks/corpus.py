"""Hostile files, built by code: each function puts one into a run's directory, and declares the expected result.

No framework is imported before a file is built, so that tests can be named after the files.
"""

import functools
import json
import marshal
import os
import pickle
import shutil
import struct
import types
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """Where a hostile file is built.

    Attributes:
        run: The run's directory, which contains the file.
        outside: Another directory, in which nothing may change.
        honest: Checkpoints as a training leaves them.
    """

    run: Path
    outside: Path
    honest: object

    @property
    def canary(self):
        """A file that code in a hostile file would make."""
        return self.outside / "ran"


@dataclass(frozen=True)
class Attack:
    """A hostile file.

    Attributes:
        name: What it is.
        build: Builds it; returns the path of the checkpoint.
        loads: Whether ``load_weights`` loads it, since it does not read the hostile part; None if it may.
        restores: The same for ``restore``.
        resumes: The same for ``resume``, which also succeeds if the file is ignored and training starts over.
        where: The backends on which it is tried: the others would do the same.
        about: The entrances at which it is tried: those of a ``"file"``, its ``"training"`` state, or its ``"run"``.
        template: The run's template; ``"*"`` stands for the file's own ending.
    """

    name: str
    build: object
    loads: bool
    restores: bool
    resumes: bool
    where: tuple
    about: str
    template: str


ATTACKS = {}
EVERYWHERE = ("jax", "torch", "tensorflow")
TF_KERAS = ("tf_keras",)


def hostile(
    *,
    loads=False,
    restores=False,
    passed_over=False,
    where=("jax",),
    about="file",
    template="{epoch:02d}.keras",
    **cases,
):
    """Register a function as an attack, once for each of the cases; ``loads`` may name some of them."""

    def enter(build):
        for case, value in (cases or {"": None}).items():
            name = f"{build.__name__}{f'_{case}' if case else ''}"
            call = functools.partial(build, case=value) if case else build
            may_load = case in loads if isinstance(loads, tuple) else loads
            ATTACKS[name] = Attack(
                name, call, may_load, restores, True if passed_over else restores, where, about, template
            )
        return build

    return enter


WEIGHTS = "{epoch:02d}.weights.h5"
LEGACY = "{epoch:02d}.h5"
DIRECTORY = "model-{epoch:02d}"


class Payload:
    """Makes the canary when it is unpickled."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


def lambda_config(canary):
    """Return the configuration of a model with a Lambda layer whose code makes the canary."""
    import base64

    def run(x):
        open("CANARY", "w").close()  # noqa: PTH123
        return x

    code = run.__code__.replace(co_consts=tuple(str(canary) if c == "CANARY" else c for c in run.__code__.co_consts))
    assert isinstance(code, types.CodeType)
    text = base64.b64encode(marshal.dumps(code)).decode()
    function = {"class_name": "__lambda__", "config": {"code": text, "defaults": None, "closure": None}}
    layer = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"name": "l", "function": function},
        "registered_name": None,
        "build_config": {"input_shape": [None, 4]},
    }
    layers = [
        {
            "module": "keras.layers",
            "class_name": "InputLayer",
            "config": {"batch_shape": [None, 4], "dtype": "float32", "name": "i"},
            "registered_name": None,
        },
        layer,
    ]
    config = {"name": "s", "trainable": True, "layers": layers, "build_input_shape": [None, 4]}
    whole = {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None}
    return json.dumps(whole).encode()


def deep(count=200_000):
    return b"[" * count + b"]" * count


# --- .keras: the archive ---


@hostile()
def a_zip_bomb_in_an_archive(place):
    path = place.run / "01.keras"
    with zipfile.ZipFile(place.honest.stock_archive) as archive, zipfile.ZipFile(path, "w") as bomb:
        bomb.writestr("metadata.json", archive.read("metadata.json"))
        with bomb.open(zipfile.ZipInfo("config.json"), "w") as member:
            member.write(b"{}")
        info = zipfile.ZipInfo("assets/bomb")
        info.compress_type = zipfile.ZIP_DEFLATED
        with bomb.open(info, "w") as member:
            for _ in range(250):
                member.write(bytes(1 << 20))
        bomb.writestr("model.weights.h5", archive.read("model.weights.h5"))
    return path


@hostile()
def weights_that_are_a_zip_bomb(place):
    path = place.run / "01.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb, bomb.open("model.weights.h5", "w") as member:
        for _ in range(250):
            member.write(bytes(1 << 20))
    return path


@hostile()
def an_archive_of_a_million_members(place):
    path = place.run / "01.keras"
    content = place.honest.stock_archive.read_bytes()
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    count = 1_000_000
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(entry) * count, len(content), 0)
    path.write_bytes(content + entry * count + end)
    return path


@hostile(small=(0xFFFFFFFE, None), large=(0xFFFFFFFF, 1 << 62))
def an_archive_that_claims_a_list_of_members_longer_than_memory(place, case):
    path = place.run / "01.keras"
    size, size64 = case
    content = bytearray(place.honest.stock_archive.read_bytes()[:-22])
    if size64:
        at = len(content)
        content += struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 3, 3, size64, 0)
        content += struct.pack("<4sIQI", b"PK\6\7", 0, at, 1)
    with path.open("wb") as file:
        file.write(content)
        file.truncate(1 << 33)  # the file is sparse and takes no space
        file.seek(0, os.SEEK_END)
        file.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 3, 3, size, 0, 0))
    return path


@hostile(
    up="../outside/ran", absolute="/tmp/lastgood-ran", inside="assets/../../outside/ran", windows="..\\outside\\ran"
)
def a_member_whose_name_leads_out_of_the_archive(place, case):
    return _forged(place, {case: b"written"})


@hostile(loads=True, restores=True, where=EVERYWHERE)
def a_configuration_that_runs_code(place):
    return _forged(place, {"config.json": lambda_config(place.canary)})


@hostile(loads=True)
def a_stock_archive_whose_configuration_runs_code(place):
    path = place.run / "01.keras"
    with zipfile.ZipFile(place.honest.stock_archive) as archive, zipfile.ZipFile(path, "w") as other:
        other.writestr("metadata.json", archive.read("metadata.json"))
        other.writestr("config.json", lambda_config(place.canary))
        other.writestr("model.weights.h5", archive.read("model.weights.h5"))
    return path


@hostile(loads=True, restores=True, deep=deep(), wide=b"[" + b"[],[]," * 2_000_000 + b"1]", nan=b'{"a": NaN, "a": 1}')
def a_configuration_that_is_no_configuration(place, case):
    return _forged(place, {"config.json": case})


@hostile(where=EVERYWHERE)
def an_archive_that_is_a_pickle(place):
    return _pickle(place, "01.keras")


def _forged(place, members):
    from scenarios.attacks.honest import forge_archive

    return forge_archive(place.honest.archive, place.run / "01.keras", json.dumps(place.honest.record), members)


def _pickle(place, name):
    path = place.run / name
    path.write_bytes(pickle.dumps(Payload(place.canary)))
    return path


# --- records: of archives, of HDF5 files, of directories ---

EVIL = "{a}" * 40 + "x"
UNSOUND = {
    "deep": lambda values: deep(20_000),
    "huge": lambda values: json.dumps({**values, "run": "x" * (30 << 20)}),
    "wide": lambda values: json.dumps({**values, "run": [[]] * 2_000_000}),
    "nan": lambda values: json.dumps({**values, "created": float("nan")}),
    "twice": lambda values: json.dumps(values)[:-1] + ', "step": 99}',
    "no_numbers": lambda values: json.dumps({**values, "step": "12"}),
    "a_list": lambda values: json.dumps([values]),
    "unknown": lambda values: json.dumps({**values, "__class__": "os.system"}),
    "metrics": lambda values: json.dumps({**values, "metrics": ["loss"]}),
    "digits": lambda values: json.dumps({**values, "step": 0}).replace('"step": 0', '"step": ' + "9" * 20_000),
    "far": lambda values: json.dumps({**values, "step": 10**300}),
    "late": lambda values: json.dumps({**values, "created": 0}).replace('"created": 0', '"created": 1e999'),
    "words": lambda values: json.dumps({**values, "created": "now", "versions": "all"}),
}
OUTSIDE = {
    "table_outside": lambda values: json.dumps({**values, "table": [1 << 50, 24]}),
    "table_before": lambda values: json.dumps({**values, "table": [-(1 << 40), 24]}),
    "table_huge": lambda values: json.dumps({**values, "table": [0, 24 << 40]}),
    "table_of_all": lambda values: json.dumps({**values, "table": [0, 240]}),
}
SOUND = {
    "template_outside": lambda values: json.dumps({**values, "template": "../../{epoch:02d}.keras"}),
    "template_slow": lambda values: json.dumps({**values, "template": EVIL}),
    "template_long": lambda values: json.dumps({**values, "template": "{a}b" * 10_000}),
    "template_broken": lambda values: json.dumps({**values, "template": "{" * 1000}),
    "metric_outside": lambda values: json.dumps(
        {**values, "metrics": {"../../x": 1.0, "/etc/x": 2, "[/red]\x1b]0;x": 3}}
    ),
    "run_outside": lambda values: json.dumps({**values, "run": "../../outside", "format": "../x"}),
    "escapes": lambda values: json.dumps({**values, "versions": {"\x1b[2J": "\x1b]0;owned\x07", "\ud800": "\ud800"}}),
}


@hostile(loads=None, **{k: UNSOUND[k] for k in ("deep", "twice", "late", "metrics")})
def a_record_in_an_archive(place, case):
    return _with_comment(place, case)


@hostile(table_outside=OUTSIDE["table_outside"], table_huge=OUTSIDE["table_huge"])
def a_record_in_an_archive_that_points_outside(place, case):
    return _with_comment(place, case)


@hostile(loads=True, restores=True, **{k: SOUND[k] for k in ("template_slow", "template_outside", "escapes")})
def a_record_in_an_archive_that_misleads(place, case):
    return _with_comment(place, case)


def _with_comment(place, change):
    from scenarios.attacks.honest import forge_archive

    return forge_archive(place.honest.archive, place.run / ("0" * 60 + "1.keras"), change(dict(place.honest.record)))


@hostile(loads=None, template=WEIGHTS, **UNSOUND)
def a_record_behind_an_hdf5_file(place, case):
    return _with_end(place, case)


@hostile(template=WEIGHTS, **OUTSIDE)
def a_record_behind_an_hdf5_file_that_points_outside(place, case):
    return _with_end(place, case)


@hostile(loads=True, restores=True, template=WEIGHTS, **SOUND)
def a_record_behind_an_hdf5_file_that_misleads(place, case):
    return _with_end(place, case)


def _with_end(place, change):
    from lastgood._bytes import trailing_record
    from lastgood._storage.positioned import LocalFile
    from scenarios.attacks.honest import forge_end

    with LocalFile(place.honest.weights) as file:
        _, text = trailing_record.find(file)
    return forge_end(place.honest.weights, place.run / "01.weights.h5", change(dict(text.values)))


@hostile(template=WEIGHTS, huge=1 << 40, negative=(1 << 64) - 1, all=None)
def an_end_that_claims_a_record_of_any_length(place, case):
    path = place.run / "01.weights.h5"
    content = place.honest.stock_weights.read_bytes()
    path.write_bytes(content + (len(content) if case is None else case).to_bytes(8, "little") + b"lastgood")
    return path


@hostile(loads=None, template=DIRECTORY, **{k: UNSOUND[k] for k in ("deep", "huge", "wide", "twice", "late", "words")})
def a_record_in_a_directory(place, case):
    return _with_file(place, "keras_directory", case)


@hostile(loads=None, template=DIRECTORY, **{k: v for k, v in UNSOUND.items() if k in ("deep", "wide", "twice", "late")})
def a_record_in_a_directory_of_orbax(place, case):
    return _with_file(place, "orbax_directory", case)


def _with_file(place, kind, change):
    path = place.run / "model-01"
    shutil.copytree(getattr(place.honest, kind), path)
    text = change(json.loads((path / "lastgood.json").read_text()))
    (path / "lastgood.json").write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# --- HDF5 ---


def _edit(place, name, change, source="stock_weights"):
    """Copy a file of stock Keras, and change it with h5py."""
    import h5py

    path = place.run / name
    shutil.copy(getattr(place.honest, source), path)
    with h5py.File(path, "r+") as file:
        change(file, place)
    return path


def _first(file):
    """Return the path of an array of the model."""
    import h5py

    found = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) and item.size > 1 else None)
    return found[0]


def _secret(place):
    """Make a file that a link could lead to."""
    import h5py

    path = place.outside / "secret.h5"
    if not path.exists():
        with h5py.File(path, "w") as file:
            file["secret"] = [[1.0] * 16] * 4
        (place.outside / "secret.bin").write_bytes(bytes(4096))
    return path


def external_link(file, place):
    import h5py

    name = _first(file)
    del file[name]
    file[name] = h5py.ExternalLink(_secret(place), "secret")


def external_group(file, place):
    import h5py

    name = _first(file).partition("/")[0]
    del file[name]
    file[name] = h5py.ExternalLink(_secret(place), "/")


def soft_link(file, place):
    import h5py

    name = _first(file)
    file.move(name, "elsewhere")
    file[name] = h5py.SoftLink("/elsewhere")


def soft_loop(file, place):
    import h5py

    file["loop"] = h5py.SoftLink("/")
    file["nothing"] = h5py.SoftLink("/nothing")


def hard_loop(file, place):
    file["loop"] = file["/"]


def two_names(file, place):
    file["again"] = file[_first(file)]


def external_storage(file, place):
    _secret(place)
    name = _first(file)
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    file.create_dataset(name, shape, dtype, external=[(str(place.outside / "secret.bin"), 0, 4096)])


def virtual(file, place):
    import h5py

    name = _first(file)
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource(_secret(place), "secret", shape)
    file.create_virtual_dataset(name, layout)


def shape_bomb(file, place):
    name = _first(file)
    del file[name]
    file.create_dataset(name, (1 << 20, 1 << 20), "float32")


def shape_that_overflows(file, place):
    name = _first(file)
    del file[name]
    file.create_dataset(name, (1 << 32, 1 << 32), "float32", chunks=(1, 1))


def sparse_chunks(file, place):
    name = _first(file)
    del file[name]
    file.create_dataset(name, (1 << 15, 1 << 15), "float32", chunks=(1 << 10, 1 << 10))


def compressed_bomb(file, place):
    name = _first(file)
    del file[name]
    array = file.create_dataset(name, (250, 1 << 20), "uint8", chunks=(1, 1 << 20), compression="gzip")
    content = bytes(1 << 20)
    import numpy as np

    for i in range(250):
        array[i] = np.frombuffer(content, np.uint8)


def bomb_beside(file, place):
    file.create_dataset("more/bomb", (1 << 40,), "float32")


def deep_groups(file, place):
    group = file
    for _ in range(3000):
        group = group.create_group("g")


def odd_type(file, place):
    import numpy as np

    name = _first(file)
    shape = file[name].shape
    del file[name]
    file.create_dataset(name, data=np.zeros(shape, "V2")).attrs["dtype"] = "V1000000000"


def wider_type(file, place):
    import numpy as np

    name = _first(file)
    shape = file[name].shape
    del file[name]
    file.create_dataset(name, data=np.zeros(shape, "V1")).attrs["dtype"] = "float32"


def texts(file, place):
    name = _first(file)
    del file[name]
    file[name] = [["text"] * 16] * 4


def training_elsewhere(file, place):
    import h5py

    file.create_group("_lastgood")["training"] = h5py.ExternalLink(_secret(place), "secret")


LINKS = (external_link, external_group, soft_link, soft_loop, hard_loop, two_names, external_storage, virtual)
BOMBS = (shape_bomb, shape_that_overflows, sparse_chunks, compressed_bomb, bomb_beside, deep_groups)
TYPES = (odd_type, wider_type, texts, training_elsewhere)
_HDF5 = {each.__name__: each for each in (*LINKS, *BOMBS, *TYPES)}


@hostile(template=WEIGHTS, **_HDF5)
def weights_with(place, case):
    return _edit(place, "01.weights.h5", case)


@hostile(template=DIRECTORY, **{name: _HDF5[name] for name in ("external_link", "soft_link", "shape_bomb")})
def a_directory_of_keras_with(place, case):
    path = place.run / "model-01"
    shutil.copytree(place.honest.keras_directory, path)
    _edit(place, "model-01/model.weights.h5", case)
    return path


@hostile(external_link=external_link, soft_link=soft_link, shape_bomb=shape_bomb, compressed=compressed_bomb)
def an_archive_with(place, case):
    path = place.run / "01.keras"
    inner = _edit(place, "inner.h5", case)
    with zipfile.ZipFile(place.honest.stock_archive) as archive, zipfile.ZipFile(path, "w") as other:
        other.writestr("metadata.json", archive.read("metadata.json"))
        other.writestr("config.json", archive.read("config.json"))
        other.write(inner, "model.weights.h5")
    inner.unlink()
    return path


def names_twice(file, place):
    group = file[next(name for name in file if "dense" in name)]
    group.attrs["weight_names"] = [group.attrs["weight_names"][0]] * 1000


def names_outside(file, place):
    group = file[next(name for name in file if "dense" in name)]
    group.attrs["weight_names"] = ["../../secret", "/etc/passwd"]


@hostile(template=LEGACY, names_twice=names_twice, names_outside=names_outside, **_HDF5)
def legacy_weights_with(place, case):
    return _edit(place, "01.h5", case, source="stock_legacy")


@hostile(template=LEGACY, loads=True, restores=True)
def a_legacy_model_whose_configuration_runs_code(place):
    import h5py

    from scenarios.attacks.honest import forge_end

    path = place.run / "00.h5"
    with place.honest.legacy_model.open("rb") as file:
        content = file.read()
    length = int.from_bytes(content[-16:-8], "little")
    path.write_bytes(content[: -16 - length])
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = lambda_config(place.canary).decode()
    path.write_bytes(path.read_bytes() + content[-16 - length :])
    forged = forge_end(path, place.run / "01.h5", content[-16 - length : -16])
    path.unlink()
    return forged


@hostile(template=LEGACY, where=EVERYWHERE)
def legacy_weights_that_are_a_pickle(place):
    return _pickle(place, "01.h5")


@hostile(template=WEIGHTS, where=EVERYWHERE)
def weights_that_are_a_pickle(place):
    return _pickle(place, "01.weights.h5")


@hostile(passed_over=True)
def a_list_of_shards_that_lie_elsewhere(place):
    path = place.run / "01.weights.json"
    index = {"metadata": {"total_size": 1}, "weight_map": {"/": ["../outside/secret.h5"]}}
    path.write_text(json.dumps(index))
    _secret(place)
    return path


# --- the training state ---


def change(tree, *keys, value):
    """Return a tree with another value in a place."""
    key, *rest = keys
    return {**tree, key: change(tree[key], *rest, value=value) if rest else value}


def _altered(*keys, value):
    from scenarios.attacks.honest import pack

    return lambda honest: pack(change(honest.block, *keys, value=value))


def _raw(text, arrays=b""):
    from scenarios.attacks.honest import raw_block

    return raw_block(text, arrays)


def _tree(tree, arrays=(), content=b""):
    return lambda honest: _raw(json.dumps({"version": 1, "tree": tree, "arrays": list(arrays)}).encode(), content)


def _far_position(honest):
    state = dict(honest.block["randomness"]["numpy"])
    state["state"] = {**state["state"], "pos": 10**9}
    return _altered("randomness", "numpy", value=state)(honest)


def _without(name):
    from scenarios.attacks.honest import pack

    return lambda honest: pack({key: value for key, value in honest.block.items() if key != name})


ENTRY = {"dtype": "uint8", "shape": [8 << 20], "offset": 0}
BLOCKS = {
    "deep": lambda honest: _raw(b'{"version": 1, "arrays": [], "tree": ' + deep() + b"}"),
    "wide": lambda honest: _raw(b'{"version": 1, "arrays": [], "tree": [' + b"[]," * 8_000_000 + b"1]}"),
    "huge": lambda honest: _raw(b'{"version": 1, "arrays": [], "tree": "' + b"x" * (100 << 20) + b'"}'),
    "length": lambda honest: ((1 << 63) - 1).to_bytes(8, "little") + bytes(1000),
    "array_bomb": _tree(1, [ENTRY] * 1000, bytes(8 << 20)),
    "bytes_bomb": _tree([{"$": "bytes", "index": 0}] * 100_000, [ENTRY], bytes(8 << 20)),
    "shape_bomb": _tree(1, [{"dtype": "float64", "shape": [1 << 40, 1 << 40], "offset": 0}], bytes(64)),
    "empty_type": _tree(1, [{"dtype": "V0", "shape": [1 << 62], "offset": 0}], bytes(64)),
    "objects": _tree(1, [{"dtype": "O", "shape": [4], "offset": 0}], bytes(64)),
    "types": _tree(1, [{"dtype": "f4," * 100_000, "shape": [4], "offset": 0}], bytes(64)),
    "nan": lambda honest: _raw(b'{"version": 1, "arrays": [], "tree": NaN}'),
    "twice": lambda honest: _raw(b'{"version": 1, "arrays": [], "tree": 1, "tree": 2}'),
    "unknown": _tree({"$": "os.system", "index": 0}, [{**ENTRY, "shape": [4]}], bytes(64)),
    "pickle": lambda honest: pickle.dumps(Payload("/tmp/lastgood-ran")),
    "a_list": _tree([1, 2, 3]),
    "no_randomness": lambda honest: _without("randomness")(honest),
    "no_variables": lambda honest: _without("variables")(honest),
    "no_callbacks": lambda honest: _without("callbacks")(honest),
    "variables": lambda honest: _altered("variables", value=[{"path": 1, "value": 2}])(honest),
    "metrics": lambda honest: _altered("metrics", value={"path": "x"})(honest),
    "words": lambda honest: _altered("randomness", "python", "words", value=list(range(10)))(honest),
    "gauss": lambda honest: _altered("randomness", "python", "gauss", value="x")(honest),
    "generator": lambda honest: _altered("randomness", "numpy", "bit_generator", value="__loader__")(honest),
    "position_of_numpy": _far_position,
    "epoch": lambda honest: _altered("position", "epoch", value="many")(honest),
    "iterators": lambda honest: _altered("position", "origin", "iterators", value=10**12)(honest),
    "more_of_an_origin": lambda honest: _altered("position", "origin", "__init__", value=1)(honest),
    "origin": lambda honest: _altered("position", "origin", value=[1, 2, 3])(honest),
    "logs": lambda honest: _altered("logs", value={"loss": [1]})(honest),
    "hook": lambda honest: _altered("hook", value="os.system")(honest),
    "callbacks": lambda honest: _altered("callbacks", value=[{"class": 1}])(honest),
}


@hostile(loads=True, about="training", template=WEIGHTS, **BLOCKS)
def a_training_state(place, case):
    return place.honest.with_training(place.run / "01.weights.h5", case(place.honest))


@hostile(
    loads=None, template=DIRECTORY, **{k: BLOCKS[k] for k in ("deep", "wide", "pickle", "array_bomb", "iterators")}
)
def a_training_state_in_a_directory(place, case):
    path = place.run / "model-01"
    shutil.copytree(place.honest.keras_directory, path)
    (path / "lastgood.training").write_bytes(case(place.honest))
    return path


# --- what is not a regular file, and directories ---


@hostile(passed_over=True, template="{epoch:02d}*", keras="01.keras", weights="01.weights.h5", legacy="01.h5")
def a_pipe_in_a_checkpoints_place(place, case):
    os.mkfifo(place.run / case)
    return place.run / case


@hostile(passed_over=True, template="{epoch:02d}*", keras="01.keras", weights="01.weights.h5", legacy="01.h5")
def a_device_in_a_checkpoints_place(place, case):
    (place.run / case).symlink_to("/dev/zero")
    return place.run / case


@hostile(passed_over=True, nothing="nothing", itself="01.keras")
def a_link_to(place, case):
    (place.run / "01.keras").symlink_to(case)
    return place.run / "01.keras"


@hostile(
    template=DIRECTORY,
    record="lastgood.json",
    training="lastgood.training",
    weights="model.weights.h5",
)
def a_pipe_in_a_directory(place, case):
    path = place.run / "model-01"
    shutil.copytree(place.honest.keras_directory, path)
    (path / case).unlink()
    os.mkfifo(path / case)
    return path


@hostile(loads=True, restores=True, template=DIRECTORY)
def a_directory_of_keras_whose_configuration_runs_code(place):
    from lastgood._bytes import directory_record
    from lastgood._storage import locate
    from lastgood._storage.stages import LocalStage

    path = place.run / "model-01"
    shutil.copytree(place.honest.keras_directory, path)
    (path / "config.json").write_bytes(lambda_config(place.canary))
    record, training = directory_record.read_record(locate(path)), directory_record.read_training(locate(path))
    (path / "lastgood.json").unlink()
    directory_record.write_record(LocalStage(path, path), record, training)  # a forger can also forge the digest
    (path / "assets").mkdir(exist_ok=True)
    (path / "assets" / "loop").symlink_to("..")
    (path / "assets" / "root").symlink_to("/")
    return path


@hostile(template=DIRECTORY, manifest="pytree/manifest.ocdbt", metadata="pytree/_METADATA", step="7")
def a_pipe_in_a_directory_of_orbax(place, case):
    path = place.run / "model-01"
    shutil.copytree(place.honest.orbax_directory, path)
    (path / case).unlink(missing_ok=True)
    os.mkfifo(path / case)
    return path


@hostile(template=DIRECTORY)
def a_directory_of_orbax_with_a_pickle_in_it(place):
    path = place.run / "model-01"
    shutil.copytree(place.honest.orbax_directory, path)
    for name in ("_METADATA", "manifest.ocdbt"):
        (path / "pytree" / name).write_bytes(pickle.dumps(Payload(place.canary)))
    return path


@hostile(template=DIRECTORY)
def a_directory_of_orbax_with_an_array_that_is_too_large(place):
    import numpy as np
    from orbax.checkpoint import v1 as ocp

    path = place.run / "model-01"
    ocp.save_checkpointables(path, {"pytree": {"trainable_variables": {"x": np.zeros((250, 1 << 20), np.uint8)}}})
    return path


# --- the run's directory ---


def _with_honest(place):
    """Put honest checkpoints into the run."""
    from scenarios.attacks.honest import forge_archive

    for epoch in (1, 2, 3):
        values = {**place.honest.record, "step": epoch, "epoch": epoch, "template": "{epoch:02d}.keras"}
        forge_archive(place.honest.archive, place.run / f"{epoch:02d}.keras", json.dumps(values))
    return place.run / "03.keras"


def _victim(place):
    path = place.outside / "victim.txt"
    path.write_text("what must stay\n")
    return path


@hostile(loads=True, restores=True, about="run")
def a_run_with_a_link_to_another_run(place):
    path = _with_honest(place)
    shutil.copytree(place.honest.other, place.outside / "other")
    (place.run / "other").symlink_to(place.outside / "other")
    (place.run / "deep").mkdir()
    (place.run / "deep" / "root").symlink_to("/")
    return path


LINES = {
    "deep": deep(),
    "wide": b'{"event": "pin", "path": [' + b"[]," * 8_000_000 + b"1]}",
    "long": b'{"event": "pin", "path": "' + b"x" * (100 << 20) + b'"}',
    "nan": b'{"event": "metrics", "path": "03.keras", "created": NaN, "metrics": {"loss": NaN}}',
    "twice": b'{"event": "pin", "event": "unpin", "path": "03.keras"}',
    "outside": b'{"event": "pin", "path": "../outside/victim.txt"}\n{"event": "prune", "path": "../outside/other"}',
    "types": b'[1]\n"x"\n{"event": {}, "path": []}\n{"event": "pin", "path": {}}\n{"event": "metrics", "metrics": 5}',
    "far": b'{"event": "save", "step": 1e999, "path": "x", "metrics": {}, "costs": {"size": 1e999, "wait": 1e999, '
    b'"snapshot": 0, "write": 0, "fsync": 0}, "at": 1e999}\n{"event": "begin", "run": "", "template": "", "at": 1e300}',
    "formulas": b'{"event": "epoch", "step": 1, "metrics": {"$\\\\frac{$": 1, "<script>": 2, "$\\\\input{/x}$": 3}}',
    "text": bytes(range(256)) * 1000,
}


@hostile(loads=True, restores=True, about="run", **LINES)
def a_journal(place, case):
    path = _with_honest(place)
    _victim(place)
    (place.run / ".lastgood").mkdir()
    (place.run / ".lastgood" / "journal.jsonl").write_bytes(case + b"\n")
    return path


KINDS = {
    "link": lambda path, place: path.symlink_to(_victim(place)),
    "new": lambda path, place: path.symlink_to(place.outside / "made"),
    "pipe": lambda path, place: os.mkfifo(path),
    "device": lambda path, place: path.symlink_to("/dev/zero"),
    "directory": lambda path, place: path.mkdir(),
}


@hostile(loads=True, restores=True, about="run", **KINDS)
def a_journal_that_is_a(place, case):
    return _with_entries(place, case, "journal.jsonl")


@hostile(loads=True, restores=True, about="run", **KINDS)
def a_lock_of_the_journal_that_is_a(place, case):
    return _with_entries(place, case, "journal.lock")


@hostile(loads=True, restores=True, about="run", **KINDS)
def a_lock_of_the_training_that_is_a(place, case):
    from lastgood._storage.claims import _short

    return _with_entries(place, case, f"training-{_short('{epoch:02d}.keras')}.lock")


def _with_entries(place, make, name):
    path = _with_honest(place)
    (place.run / ".lastgood").mkdir()
    make(place.run / ".lastgood" / name, place)
    return path


@hostile(loads=True, restores=True, about="run")
def a_run_whose_own_directory_is_a_link(place):
    path = _with_honest(place)
    (place.outside / "elsewhere").mkdir()
    (place.outside / "elsewhere" / "journal.jsonl").write_text('{"event": "pin", "path": "01.keras"}\n')
    (place.run / ".lastgood").symlink_to(place.outside / "elsewhere")
    return path


@hostile(loads=True, restores=True, about="run", **KINDS)
def a_leftover_whose_lock_is_a(place, case):
    path = _with_honest(place)
    case(place.run / ".lastgood-tmp-0123456789abcdef.lock", place)
    return path


@hostile(
    loads=True,
    restores=True,
    about="run",
    up="../outside/new",
    none="",
    self=".",
    parent="..",
    nul="a\0b",
    long="x" * 5000,
)
def a_leftover_that_says_where_it_belongs(place, case):
    path = _with_honest(place)
    (place.run / ".lastgood-tmp-0123456789abcdef.lock").write_text(case)
    (place.run / ".lastgood-tmp-0123456789abcdef.old").mkdir()
    return path


@hostile(loads=True, restores=True, about="run")
def a_leftover_that_is_a_link(place):
    path = _with_honest(place)
    _victim(place)
    (place.run / ".lastgood-tmp-0123456789abcdef.keras").symlink_to(place.outside / "victim.txt")
    (place.run / ".lastgood-tmp-0123456789abcdef").symlink_to(place.outside)
    (place.run / ".lastgood-tmp-0123456789abcdee.old").symlink_to(place.outside)
    (place.run / ".lastgood-tmp-0123456789abcdee.lock").write_text("04.keras")
    return path


@hostile(
    loads=True,
    restores=True,
    about="run",
    escape="\x1b]0;owned\x07",
    markup="[red][link=x",
    newline="a\nb",
    long="-" * 240,
)
def a_file_name(place, case):
    path = _with_honest(place)
    shutil.copy(path, place.run / f"{case}.keras")
    return path


# --- tf_keras 2: checkpoints of TensorFlow, and SavedModel ---

GROUP = "{epoch:02d}"
BUNDLES = {
    "deep": {"table": deep()},
    "wide": {"table": b"[" + b"[]," * 8_000_000 + b"1]"},
    "twice": {"table": b'{".index": [1, 2], ".index": [1, 2]}'},
    "outside": {"table": b'{"/../../outside/victim.txt": [1, 2], ".index": [1, 2]}'},
    "all": {"lengths": ((1 << 64) - 1, 2)},
    "huge": {"lengths": (10, 1 << 62)},
}


@hostile(template=GROUP, where=TF_KERAS, **BUNDLES)
def a_checkpoint_of_tensorflow_whose_digests_are(place, case):
    from scenarios.attacks.honest import forge_bundle

    _victim(place)
    return forge_bundle(place.honest.tf_checkpoint, place.run / "01", **case)


@hostile(
    loads=True, template=GROUP, where=TF_KERAS, **{k: BLOCKS[k] for k in ("deep", "pickle", "a_list", "array_bomb")}
)
def a_checkpoint_of_tensorflow_whose_training_state_is(place, case):
    from scenarios.attacks.honest import forge_bundle

    return forge_bundle(place.honest.tf_checkpoint, place.run / "01", training=case(place.honest))


@hostile(
    loads=None,
    template=GROUP,
    where=TF_KERAS,
    index=".index",
    first=".data-00000-of-00002",
    second=".data-00001-of-00002",
)
def a_checkpoint_of_tensorflow_with_a_pickle_for(place, case):
    from scenarios.attacks.honest import forge_bundle

    path = forge_bundle(place.honest.tf_checkpoint, place.run / "01")
    path.with_name(path.name + case).write_bytes(pickle.dumps(Payload(place.canary)))
    return path


@hostile(template=GROUP, where=TF_KERAS, first=".data-00000-of-00002", second=".data-00001-of-00002")
def a_checkpoint_of_tensorflow_with_a_pipe_for(place, case):
    from scenarios.attacks.honest import forge_bundle

    path = forge_bundle(place.honest.tf_checkpoint, place.run / "01")
    path.with_name(path.name + case).unlink()
    os.mkfifo(path.with_name(path.name + case))
    return path


@hostile(loads=True, restores=True, template=GROUP, where=TF_KERAS)
def a_list_of_checkpoints_that_leads_elsewhere(place):
    from scenarios.attacks.honest import forge_bundle

    (place.run / "checkpoint").symlink_to(_victim(place))
    return forge_bundle(place.honest.tf_checkpoint, place.run / "01")


@hostile(template="model-{epoch:02d}", where=TF_KERAS, graph="saved_model.pb", variables="variables/variables.index")
def a_saved_model_with_a_pipe_for(place, case):
    path = place.run / "model-01"
    shutil.copytree(place.honest.saved_model, path)
    (path / case).unlink()
    os.mkfifo(path / case)
    return path


@hostile(loads=None, restores=None, template="model-{epoch:02d}", where=TF_KERAS)
def a_saved_model_whose_graph_is_a_pickle(place):
    path = place.run / "model-01"
    shutil.copytree(place.honest.saved_model, path)
    (path / "saved_model.pb").write_bytes(pickle.dumps(Payload(place.canary)))
    (path / "keras_metadata.pb").write_bytes(pickle.dumps(Payload(place.canary)))
    return path


# Where the framework itself reads the file, each backend is tried.
for _name in (
    *(
        f"weights_with_{name}"
        for name in ("external_link", "soft_link", "virtual", "shape_bomb", "wider_type", "texts")
    ),
    *(f"legacy_weights_with_{name}" for name in ("external_link", "soft_link", "external_storage", "names_twice")),
    *(f"a_training_state_{name}" for name in ("deep", "no_randomness", "words", "position_of_numpy", "iterators")),
):
    ATTACKS[_name] = replace(ATTACKS[_name], where=EVERYWHERE)

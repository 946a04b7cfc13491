"""Names as long as a file system takes: what is saved or set aside beside them has a name, too, and is found again."""

import os
import signal

import pytest

from helpers.crashing import build
from helpers.kit import TF_KERAS, keras
from lastgood import ModelCheckpoint

# With the letter that fills them up: what a name is made of, and whether it is one of weights.
ENDINGS = {".keras": False, ".weights.h5": True}
ENDINGS |= {".data-00000-of-00002": True} if TF_KERAS else {"": False}


def template(directory, letter, ending):
    """Return a template whose files have names of 255 bytes."""
    room = 255 - len(f"1{ending}".encode())
    size = len(letter.encode())
    name = "{epoch}" + "x" * (room % size) + letter * (room // size) + ending.removesuffix(".data-00000-of-00002")
    return directory / name


class Stop(keras.callbacks.Callback):
    """Counts batches, and sends a signal at one."""

    def __init__(self, at=None):
        super().__init__()
        self.at, self.batches = at, 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        if self.batches == self.at:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(params=["a", "é", "模", "🦜"])
def letter(request):
    return request.param


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_a_signal_has_saved_is_found_at_the_restart(tmp_path, fit, letter, ending):
    def train(stop):
        path = template(tmp_path, letter, ending)
        checkpoint = ModelCheckpoint(path, save_weights_only=ENDINGS[ending], monitor="loss", resume=True, keep_last=1)
        fit(build(), [checkpoint, stop], epochs=3)
        return checkpoint.run.checkpoints

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            train(Stop(at=14))
    finally:
        signal.signal(signal.SIGINT, before)
    beside = {path.name for path in tmp_path.iterdir() if path.name.startswith("interrupted-")}
    assert len(beside) == (3 if ending.startswith(".data") else 1)
    rest = Stop()
    (left,) = train(rest)
    assert rest.batches == 30 - 14
    assert left.path.name.startswith("3")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(("interrupted-", ".lastgood-tmp-"))]


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_last_model_is_saved_beside_the_best(tmp_path, fit, letter, ending):
    path = template(tmp_path, letter, ending)
    weights_only = ENDINGS[ending]
    options = {"monitor": "loss", "mode": "max", "save_best_only": True, "save_last": True}
    checkpoint = ModelCheckpoint(path, save_weights_only=weights_only, initial_value_threshold=1e9, **options)
    model = build()
    fit(model, [checkpoint])
    (last,) = checkpoint.run.checkpoints
    assert last.path.name.startswith("last-")
    assert checkpoint.run.verify() == []
    if weights_only:
        build().load_weights(last.path)
    else:
        assert last.format == ("keras" if ending else "keras directory")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_damaged_one_is_set_aside_and_the_one_before_it_is_used(tmp_path, fit, letter, ending):
    path = template(tmp_path, letter, ending)
    options = {"save_weights_only": ENDINGS[ending], "monitor": "loss", "resume": True}
    fit(build(), [ModelCheckpoint(path, **options)], epochs=2)
    for _ in range(2):  # the second damaged one has the name of the first
        newest = max(path for path in tmp_path.rglob("2*") if path.is_file() and not path.name.endswith(".index"))
        if ending == "":
            newest = newest / "model.weights.h5" if newest.is_dir() else newest
        content = bytearray(newest.read_bytes())
        content[len(content) // 2] ^= 1
        newest.write_bytes(content)
        with pytest.warns(UserWarning, match=r"\.corrupt"):
            fit(build(), [ModelCheckpoint(path, **options)], epochs=2)
    names = {each.name.partition(".data")[0].removesuffix(".index") for each in tmp_path.iterdir()}
    assert len([name for name in names if ".corrupt" in name]) == 2
    assert len([name for name in names if name.startswith(("1", "2")) and ".corrupt" not in name]) == 2

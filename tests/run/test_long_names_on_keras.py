"""Names as long as a file system allows: files that are saved or set aside beside them are found again."""

import os
import signal

import pytest

from helpers.crashing import build
from helpers.kit import TF_KERAS, keras
from lastgood import ModelCheckpoint

pytestmark = pytest.mark.any_backend

# What a name ends in, and whether it is a file of weights only.
ENDINGS = {".keras": False, ".weights.h5": True}
ENDINGS |= {".data-00000-of-00002": True} if TF_KERAS else {"": False}


def template(directory, letter, ending):
    """Return a template whose files have names of 255 bytes."""
    room = 255 - len(f"1{ending}".encode())
    size = len(letter.encode())
    name = "{epoch}" + "x" * (room % size) + letter * (room // size) + ending.removesuffix(".data-00000-of-00002")
    return directory / name


class Stop(keras.callbacks.Callback):
    """Counts batches, and sends SIGINT after batch ``at``."""

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
def test_a_checkpoint_saved_on_a_signal_is_found_at_the_restart(tmp_path, fit, letter, ending):
    def train(stop):
        path = template(tmp_path, letter, ending)
        checkpoint = ModelCheckpoint(path, save_weights_only=ENDINGS[ending], monitor="loss", resume=True, keep_last=1)
        fit(build(), [checkpoint, stop], epochs=3)
        return checkpoint.run.checkpoints

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # the shell may have ignored it
    try:
        with pytest.raises(KeyboardInterrupt):
            train(Stop(at=14))
    finally:
        signal.signal(signal.SIGINT, before)
    beside = {path.name for path in tmp_path.iterdir() if path.name.startswith("interrupted-")}
    assert len(beside) == (3 if ending.startswith(".data") else 1)
    rest = Stop()
    newest = train(rest)[-1]
    assert rest.batches in (30 - 14, 30 - 15)  # saved at this batch or the next; otherwise 20 would remain
    assert newest.path.name.startswith("3")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(("interrupted-", ".lastgood-tmp-"))]


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_last_model_is_saved_beside_the_best(tmp_path, fit, letter, ending):
    path = template(tmp_path, letter, ending)
    weights_only = ENDINGS[ending]
    falling = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(score=-epoch))
    options = {"monitor": "score", "mode": "max", "save_best_only": True, "save_last": True}
    checkpoint = ModelCheckpoint(path, save_weights_only=weights_only, **options)
    model = build()
    fit(model, [falling, checkpoint], epochs=2)
    best, last = checkpoint.run.checkpoints
    assert (best.epoch, best.path.name[0]) == (1, "1")
    assert last.epoch == 2
    assert last.path.name.startswith("last-")
    assert checkpoint.run.verify() == []
    if weights_only:
        model.load_weights(last.path)
    else:
        assert last.format == ("keras" if ending else "keras directory")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_damaged_checkpoint_is_set_aside_and_the_previous_one_is_used(tmp_path, fit, letter, ending):
    path = template(tmp_path, letter, ending)
    options = {"save_weights_only": ENDINGS[ending], "monitor": "loss", "resume": True}
    fit(build(), [ModelCheckpoint(path, **options)], epochs=2)
    for number in (1, 2):  # the second damaged checkpoint has the name of the first
        damage(tmp_path, "2")
        with pytest.warns(UserWarning, match=r"\.corrupt"):
            fit(build(), [ModelCheckpoint(path, **options)], epochs=2)
        aside = {name(each) for each in tmp_path.iterdir() if ".corrupt" in each.name}
        assert len(aside) == number
        assert len({name(each) for each in tmp_path.iterdir() if each.name[0] in "12"} - aside) == 2


def name(path):
    """Return the name of the checkpoint that a file belongs to."""
    return path.name.partition(".data-")[0].removesuffix(".index")


def damage(directory, begin):
    """Change a byte of the checkpoint whose name starts with ``begin``."""
    whole = [each for each in directory.iterdir() if each.name.startswith(begin) and ".corrupt" not in each.name]
    files = [file for each in whole for file in (each.rglob("*") if each.is_dir() else [each]) if file.is_file()]
    largest = max(files, key=lambda file: file.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)

"""What the processes of a crowd do: python children.py ROLE '[arguments]'.

They answer in lines of JSON, and wait on stdin where they should continue together.
"""

import gc
import json
import signal
import sys
import threading
import time
import warnings
from datetime import timedelta
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
import lastgood
from helpers.kit import keras
from lastgood.testing import Fault, faults

X = np.ones((1, 200), "float32")


def tell(value):
    print("answer:", json.dumps(value), flush=True)


def build(number):
    """Return a model whose weights are all ``number``, and stay so: its learning rate is 0."""
    model = keras.Sequential([keras.Input((200,)), keras.layers.Dense(200, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.set_weights([np.full_like(weight, number) for weight in model.get_weights()])
    return model


def saver(path, **options):
    """Return a callback that saves weights: for complete models Keras imports TensorFlow, which takes long."""
    return lastgood.ModelCheckpoint(f"{path}.weights.h5", save_weights_only=True, **options)


def fit(model, checkpoint, epochs, *others, **options):
    model.fit(X, X, epochs=epochs, verbose=0, callbacks=[*others, checkpoint], **options)


class Waits(keras.callbacks.Callback):
    """Holds training in its first epoch until a line arrives on stdin."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 0:
            tell("trains")
            sys.stdin.readline()


def crowd(directory, number):
    """Save beside others: to its own paths, to shared paths, and to paths that only one process may use."""
    directory, model = Path(directory), build(number)
    tell("ready")
    sys.stdin.readline()
    for start in range(2):  # each start reclaims while the others write
        own = saver(directory / f"own/{number}-{start}-{{epoch}}", keep_last=2)
        fit(model, own, 4)
    tell("own")
    sys.stdin.readline()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            fit(model, saver(directory / "shared/{epoch}"), 4)
    tell(sum("Another training saves to" in str(each.message) for each in caught))
    sys.stdin.readline()
    options = {"keep_last": 1} if number % 2 else {"resume": True}
    try:
        fit(model, saver(directory / "alone/{epoch}", **options), 3, Waits())
        tell("has trained")
    except lastgood.RunInUseError as error:
        tell(str(error))


def stopped(directory):
    """Stop in the middle of the second save: its file is complete, but not visible."""
    # The signal goes to this thread: another one might take it later, when the save has ended.
    stop = Fault("commit", lambda: signal.pthread_kill(threading.get_ident(), signal.SIGSTOP), nth=2)
    with faults(stop):
        checkpoint = saver(Path(directory, "{epoch}"), resume=True, keep_last=3)
    fit(build(7), checkpoint, 3)
    tell([save.path for save in checkpoint.stats])


def jumps(directory, clock):
    """Train with a clock that jumps, between starts and within them; ``clock`` is the file that sets it."""

    class Jumps(keras.callbacks.Callback):
        def __init__(self, *offsets):
            super().__init__()
            self.offsets = list(offsets)

        def on_epoch_begin(self, epoch, logs=None):
            if self.offsets:
                Path(clock).write_text(self.offsets.pop(0))

        def on_epoch_end(self, epoch, logs=None):
            logs["odd"] = [3.0, 0.0, 2.0, 4.0, 5.0, 6.0, 7.0, 8.0][epoch % 8]

    directory, model = Path(directory), build(0)
    options = {"keep_last": 2, "keep_best": 1, "monitor": "odd", "mode": "min", "resume": True}
    plan = [(2, ["+0", "-365d"]), (4, ["+730d", "-3d"]), (5, ["-1000d"]), (8, ["+0", "+365d", "-365d"])]
    for epochs, offsets in plan:
        checkpoint = saver(directory / "{epoch}", **options)
        warnings.simplefilter("ignore")  # the warning that "odd" is not known beforehand
        fit(model, checkpoint, epochs, Jumps(*offsets))
        run = lastgood.open_run(directory)
        tell(
            {
                "created": [each.created for each in run.checkpoints],
                "epochs": [each.epoch for each in run.checkpoints],
                "latest": run.latest.epoch,
                "best": run.best("odd", "min").epoch,
                "run": checkpoint.get_state()["run"],
                "problems": len(run.verify()),
            }
        )

    class Slow(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            end = time.monotonic() + 0.02
            while time.monotonic() < end:  # a sleep does not work while faketime moves the clock
                pass

    for save_freq in (timedelta(seconds=0.1), lastgood.Budget(0.5)):
        paced = saver(directory / f"{type(save_freq).__name__}/{{epoch}}", save_freq=save_freq)
        begun = time.monotonic()
        fit(model, paced, 15, Slow(), Jumps("+365d", "-365d", "+0"))
        tell([time.monotonic() - begun, len(paced.stats)])


def soak(directory, saves):
    """Save often with retention; report what the process holds after each eighth of the saves."""
    path, policy = Path(directory, "{epoch}.keras"), {"keep_last": 3, "keep_best": 2}
    checkpoint = lastgood.ModelCheckpoint(path, monitor="odd", mode="min", **policy)
    warnings.simplefilter("ignore")  # the warning that "odd" is not known beforehand

    class Odd(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["odd"] = float((epoch + 1) * 7919 % 10007)

    class Looks(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seen = []

        def on_epoch_end(self, epoch, logs=None):
            if (epoch + 1) % (saves // 8) == 0:
                checkpoint.wait()
                self.seen.append(held(directory))

    looks = Looks()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
    begun = time.monotonic()
    model.fit(x, x[:, :3], epochs=saves, verbose=0, callbacks=[Odd(), checkpoint, looks])
    spent = time.monotonic() - begun
    run = lastgood.open_run(directory)
    tell(
        {
            "seen": looks.seen,
            "seconds": spent,
            "writes": [save.write + save.fsync for save in checkpoint.stats],
            "steps": [each.step for each in run.checkpoints],
            "problems": len(run.verify()),
        }
    )


def held(directory):
    """Return what this process holds now, and what is in the directory."""
    gc.collect()
    memory = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return {
        "memory": int(memory.split()[1]) * 1024,
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "files": len(list(Path(directory).iterdir())),
        "temporary": len(list(Path(directory).glob(".lastgood-tmp-*"))),
        "journal": Path(directory, ".lastgood/journal.jsonl").stat().st_size,
    }


if __name__ == "__main__":
    {"crowd": crowd, "stopped": stopped, "jumps": jumps, "soak": soak}[sys.argv[1]](*json.loads(sys.argv[2]))

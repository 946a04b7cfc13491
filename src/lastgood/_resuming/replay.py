"""Bringing a ``fit`` to the place where a checkpoint was made.

Keras's ``fit`` knows whole epochs only. An epoch that was left in the middle is begun again, with the randomness that
it began with: the batches that were computed before are drawn and not computed, and no callback hears of them. Then the
state of the save is put in place, its randomness last, and ``fit`` continues as if it had never stopped.
"""

import warnings
import zlib
from typing import Any

import numpy as np

from .._errors import RestoreError
from .._keras import FitAdapter, Hooks, ModelAdapter, adapt
from .._restoring import Found
from .._restoring.load import put_back_metrics
from .._state import callbacks, randomness, source
from .._state.origin import Origin
from .drawn_batches import DrawnBatches
from .epoch_data import EpochData
from .exactness import change_of_version


class Replay(Hooks):
    """Brings a ``fit`` to where a checkpoint was made; ``as_callback`` makes it one of a Keras's callbacks.

    It is the last of the callbacks: it sees what all have done.

    Attributes:
        drawing: Whether batches are being drawn that were computed before.
        speaks: Whether it says where training continues: of several processes, one does.
    """

    speaks = True

    def __init__(self, fit: FitAdapter, data: EpochData, found: Found, adapter: ModelAdapter) -> None:
        """Restore the model, and have this called after all other callbacks.

        Raises:
            RestoreError: The checkpoint is not one of this model; nothing was overwritten.
        """
        super().__init__()
        self.drawing = False
        self._fit = fit
        self._data = data
        self._found = found
        self._state = found.state
        self._undo: Any = None
        self._began = self._validated = False
        if "position" not in found.state:
            raise RestoreError(
                f"The checkpoint {str(found.at)!r} is of a loop of your own, so fit() cannot continue from it. "
                "Restore it with lastgood.restore(), or save to another path."
            )
        self._position = found.state["position"]
        self._check_steps()
        if changed := change_of_version(found.record.versions, adapter):
            warnings.warn(changed, stacklevel=2)
        found.restore(adapter)
        changes = self._position["batch"] or callbacks.may_load(fit.members)
        self._restored = _digests(adapter) if changes else None
        self.set_model(adapter.model)
        self.set_params(fit.callbacks.params)
        fit.append(self)

    def _check_steps(self) -> None:
        at_once, done = self._fit.steps_at_once, self._position["batch"]
        if done % at_once and at_once != self._position["steps_at_once"]:
            raise RestoreError(
                f"The checkpoint {str(self._found.at)!r} was saved after batch {done} of its epoch, and with "
                f"steps_per_execution={at_once} training cannot go on from there. Compile with the number that the "
                "run was begun with, or with one that divides it."
            )

    def on_train_begin(self, logs: Any = None) -> None:
        """Put the other callbacks' states in place: by now each has had its own beginning."""
        model = self.model
        members = self._fit.members
        self._put_back_model(adapt(model))  # one of the others may have loaded another one, such as a backup
        callbacks.put_back(members, self._state["callbacks"])
        for name in callbacks.missing(members, self._state["callbacks"]):
            warnings.warn(
                f"The run was saved with a {name}, which this fit() does not have: its state is not used.", stacklevel=2
            )
        if self._state["hook"] == "epoch":
            self._replay("on_epoch_end", self._position["epoch"] - 1)
        epochs = self.params["epochs"]
        stopped = self._state["stopped"] or model.stop_training
        finished = self._position["epoch"] >= epochs or stopped
        if not finished:
            origin = self._position["origin"]
            self._fit.go_on_from(origin["iterators"], made_ahead=origin["made_ahead"])
        self._undo = self._fit.start_at(model, max(epochs, 1) if finished else self._position["epoch"])
        if self.speaks:  # whatever verbose is: it happens once
            print(self._describe(finished=finished, stopped=stopped))

    def _replay(self, hook: str, index: int) -> None:
        """Call a hook of the callbacks that had not seen it when the one before them saved.

        One of them may save in it: what it saves goes on from the same place, with the same randomness.
        """
        logs = dict(self._state["logs"])
        late = callbacks.after_saver(self._fit.members, self._state["callbacks"], self._state["saver"])
        randomness.put_back(self._state["randomness"])
        with self._data.at(self._position):
            for member in filter(callbacks.counts, late):
                getattr(member, hook)(index, logs)

    def _describe(self, *, finished: bool, stopped: bool) -> str:
        where = f"resumed from {self._found.at}"
        epoch, batch = self._position["epoch"], self._position["batch"]
        if finished:
            why = f" (a callback stopped it in epoch {epoch})" if stopped else ""
            return f"{where}: the run has ended{why}, nothing is left to train"
        of = f" of {self._fit.batches}" if self._fit.batches else ""
        done = f"epoch {epoch + 1}, batch {batch}{of}" if batch else f"epoch {epoch} is done"
        return f"{where}: {done}"

    def begin_epoch(self, epoch: int) -> None:
        """Have the first epoch draw its batches as it did; called where the callback that saved begins an epoch."""
        if self._began:
            return
        self._began = True
        self._undo()
        origin = Origin.of(self._position["origin"])
        self._data.iterators = origin.iterators
        state = self._position.get("source")
        if state is not None and self._data.positions is not None:
            self._data.positions.begin_after(origin.drawn + self._position["batch"], state)
        if self._fit.kind == "tf.data":
            self._fit.make_iterators(origin.iterators - origin.made_ahead)
        if self._fit.source is not None:
            source.put_back(self._fit.source, origin.source)
        self._fit.count_passes(origin.passes)
        if origin.made_ahead and self._fit.epochs is not None:
            self._fit.make_ahead()
        self._data.begin_epoch(epoch, origin)
        randomness.put_back(dict(origin.randomness))
        if self._fit.epochs is None:  # there is nothing to draw from that can be seen
            self._put_in_place(None)
        elif self._position["batch"]:
            self._draw(origin.drawn)
        elif origin.drawn:
            self._skip(origin.drawn)

    def _draw(self, skipped: int) -> None:
        """Replace the training step, and keep batches from the callbacks, until all that were computed are through."""
        model, callbacks = self.model, self._fit.callbacks
        compute = model.train_function
        drawn = DrawnBatches(self._fit, adapt(model), skipped, dict(self._state["logs"]))

        def begin(batch: int, logs: Any = None) -> None:
            del batch, logs

        def end(batch: int, logs: Any = None) -> None:
            del logs
            if batch + 1 >= self._position["batch"]:
                del callbacks.on_train_batch_begin, callbacks.on_train_batch_end
                self.drawing = False
                self.model.train_function = compute
                self._put_in_place(drawn.last)

        self.drawing = True
        callbacks.on_train_batch_begin, callbacks.on_train_batch_end = begin, end
        model.train_function = drawn.step

    def _skip(self, count: int) -> None:
        """Have the first training step draw what earlier epochs have used of an iterator that spans them."""
        model = self.model
        compute = model.train_function
        drawn = DrawnBatches(self._fit, adapt(model), count, {})

        def then() -> None:
            model.train_function = compute
            randomness.put_back(self._state["randomness"])

        model.train_function = lambda *arguments: drawn.step_after_skipping(compute, then, *arguments)

    def _put_in_place(self, batch: Any) -> None:
        """Put back all that the save held, now that the next batch is one to compute."""
        adapter = adapt(self.model)
        self._fit.build_metrics(adapter.model, batch)
        self._put_back_model(adapter)  # a callback may have changed it, as when it sets a rate
        put_back_metrics(self._found, adapter, "This epoch's metrics leave out the batches before.")
        callbacks.put_back(self._fit.members, self._state["callbacks"])
        if self._state["hook"] == "batch":
            self._replay("on_train_batch_end", self._position["batch"] - 1)
        self._fit.keep_state(adapter.model)
        randomness.put_back(self._state["randomness"])

    def _put_back_model(self, adapter: ModelAdapter) -> None:
        """Restore the model once more if it is another one by now."""
        if self._restored is not None and _digests(adapter) != self._restored:
            self._found.restore(adapter)

    def begin_validation(self) -> None:
        """Put the randomness back once more, of a save in the middle of the validation that begins now.

        Between the last batch and it, Keras begins an iterator ahead, which on torch draws a number.
        """
        if self._state["hook"] == "validation" and not self._validated:
            self._validated = True
            randomness.put_back(self._state["randomness"])

    def check_drawn(self) -> None:
        """Check, at an epoch's end, that the data had the batches that were computed before.

        Raises:
            RestoreError: They ended earlier.
        """
        if self.drawing:
            raise RestoreError(
                f"The checkpoint {str(self._found.at)!r} was saved after batch {self._position['batch']} of its "
                "epoch, and the data ended before that. Train on the data that the run was begun with."
            )

    def on_train_end(self, logs: Any = None) -> None:
        """Leave no trace in the model."""
        if not self._began:
            self._undo()


def _digests(adapter: ModelAdapter) -> list[int]:
    """Return a digest of what this process has of each variable that training changes."""
    values = (value for variable in adapter.state_variables() for value in adapter.values_here(variable))
    return [zlib.crc32(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data) for value in values]

"""Replay of a ``fit`` up to the place where a checkpoint was made.

Keras's ``fit`` can only begin with a whole epoch. An epoch that was interrupted therefore begins again, with the
randomness of its beginning: the batches that were computed before are drawn but not computed, and callbacks do not see
them. Then the state of the save is restored, its randomness last, and ``fit`` continues as if it had never stopped.
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
from .exactness import change_of_batches, change_of_version


class Replay(Hooks):
    """A callback that brings ``fit`` to where a checkpoint was made; ``as_callback`` adapts it to a Keras.

    It comes after all other callbacks, so it sees what they have done.

    Attributes:
        drawing: Whether the batches being drawn were computed before the restart.
        speaks: Whether it prints where training continues; of several processes, only one does.
    """

    speaks = True

    def __init__(self, fit: FitAdapter, data: EpochData, found: Found, adapter: ModelAdapter) -> None:
        """Restore the model, and add this after all other callbacks.

        Raises:
            RestoreError: The checkpoint does not fit the model or the ``fit``; nothing was overwritten.
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
                f"The checkpoint {str(found.at)!r} was saved in a loop of your own, so fit() cannot resume it. "
                "Restore it with lastgood.restore(), or save to another path."
            )
        self._position = found.state["position"]
        self._check_steps()
        for changed in (
            change_of_version(found.record.versions, adapter),
            change_of_batches(self._position.get("batches"), fit.batches),
        ):
            if changed is not None:
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
                f"steps_per_execution={at_once} training cannot continue from there. Compile with the number "
                "that the run began with, or with one that divides it."
            )

    def on_train_begin(self, logs: Any = None) -> None:
        """Restore the states of the other callbacks, all of which have begun by now."""
        model = self.model
        members = self._fit.members
        self._put_back_model(adapt(model))  # another callback may have loaded another state, such as a backup
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
        if self.speaks:  # regardless of verbose: it happens once
            print(self._describe(finished=finished, stopped=stopped))

    def _replay(self, hook: str, index: int) -> None:
        """Call a hook of those callbacks that had not seen it yet when the checkpoint was saved.

        If one of them saves in it, that save has the same position and randomness.
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
            if epoch > self.params["epochs"]:
                why = f" (epoch {epoch} is done, and fit() has epochs={self.params['epochs']})"
            return f"{where}: the run has ended{why}, nothing is left to train"
        of = f" of {self._fit.batches}" if self._fit.batches else ""
        done = f"epoch {epoch + 1}, batch {batch}{of}" if batch else f"epoch {epoch} is done"
        return f"{where}: {done}"

    def begin_epoch(self, epoch: int) -> None:
        """Make the first epoch draw the same batches again; called when a lastgood callback begins an epoch."""
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
        if self._fit.epochs is None:  # Keras does not show where the batches are drawn from
            self._put_in_place(None)
        elif self._position["batch"]:
            self._draw(origin.drawn)
        elif origin.drawn:
            self._skip(origin.drawn)

    def _draw(self, skipped: int) -> None:
        """Replace the training step, and hide batches from the callbacks, until all computed batches are drawn."""
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
        """Make the first training step skip the batches that earlier epochs drew from an iterator that spans them."""
        model = self.model
        compute = model.train_function
        drawn = DrawnBatches(self._fit, adapt(model), count, {})

        def then() -> None:
            model.train_function = compute
            randomness.put_back(self._state["randomness"])

        model.train_function = lambda *arguments: drawn.step_after_skipping(compute, then, *arguments)

    def _put_in_place(self, batch: Any) -> None:
        """Restore all state of the save, now that the next batch is to be computed."""
        adapter = adapt(self.model)
        self._fit.build_metrics(adapter.model, batch)
        self._put_back_model(adapter)  # a callback may have changed it, such as the learning rate
        put_back_metrics(self._found, adapter, "The metrics of this epoch leave out the batches before the restart.")
        callbacks.put_back(self._fit.members, self._state["callbacks"])
        if self._state["hook"] == "batch":
            self._replay("on_train_batch_end", self._position["batch"] - 1)
        self._fit.keep_state(adapter.model)
        randomness.put_back(self._state["randomness"])

    def _put_back_model(self, adapter: ModelAdapter) -> None:
        """Restore the model again if its variables have changed since."""
        if self._restored is not None and _digests(adapter) != self._restored:
            self._found.restore(adapter)

    def begin_validation(self) -> None:
        """Restore the randomness again if the checkpoint was saved during the validation that begins now.

        Before a validation, Keras creates an iterator ahead of time, which draws a random number on torch.
        """
        if self._state["hook"] == "validation" and not self._validated:
            self._validated = True
            randomness.put_back(self._state["randomness"])

    def check_drawn(self) -> None:
        """Check, at an epoch's end, that the data had all batches that were computed before the restart.

        Raises:
            RestoreError: The data ended earlier.
        """
        if self.drawing:
            raise RestoreError(
                f"The checkpoint {str(self._found.at)!r} was saved after batch {self._position['batch']} of its "
                "epoch, but the data ended before that. Train on the data that the run began with."
            )

    def on_train_end(self, logs: Any = None) -> None:
        """Undo the change to the model if no epoch has begun."""
        if not self._began:
            self._undo()


def _digests(adapter: ModelAdapter) -> list[int]:
    """Return a digest of each part that this process has of the variables that training changes."""
    values = (value for variable in adapter.state_variables() for value in adapter.values_here(variable))
    return [zlib.crc32(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data) for value in values]

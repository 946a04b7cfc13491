"""Going on with a run: its newest intact checkpoint is found, put in place, and ``fit`` brought to where it was.

Keras's ``fit`` knows whole epochs only. An epoch that was left in the middle is begun again, with the randomness that
it began with: the batches that were computed before are drawn, and not computed, and no callback hears of them. Then
the state of the save is put in place, its randomness last, and ``fit`` goes on as if it had never stopped.
"""

import errno
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from .. import _frameworks
from .._errors import CorruptCheckpointError, LastgoodError, RestoreError
from .._fit import Fit
from .._formats import Format
from .._frameworks import Framework, Hooks
from .._layout.training_block import read_block
from .._record import Record
from .._run import set_aside
from . import callback_states, randomness, saved_state
from .drawing import DrawnBatches
from .session import Origin, Session, put_back_source


@dataclass(frozen=True)
class Found:
    """A checkpoint that is intact.

    Attributes:
        path: Where it is.
        format: Its format.
        record: What is known of it.
        state: What it holds besides weights.
    """

    path: Path
    format: Format
    record: Record
    state: Mapping[str, Any]

    def restore(self, model: Any) -> None:
        """Put weights, optimizer and seeds into a built model.

        Raises:
            RestoreError: The checkpoint is not one of this model; nothing was overwritten.
        """
        framework = _frameworks.of(model)
        framework.build_optimizer(model)
        unsaved, saved = self.format.unsaved_variables(model), self.state["variables"]

        def check() -> None:
            _check_alike(framework, unsaved, saved, f"the checkpoint {str(self.path)!r}")

        try:
            self.format.load_weights(model, self.path, when_alike=check)
        except LastgoodError:
            raise
        except Exception as error:  # stock Keras has one of its own for each thing that can be wrong
            raise RestoreError(f"Error loading file from {self.path}. Reason: {error}") from error
        _assign(unsaved, saved)


def newest_intact(candidates: Sequence[tuple[Path, Format]]) -> Found | None:
    """Return the first of the candidates that is intact; those before it are set aside, with a warning.

    Args:
        candidates: Paths and formats, the newest first.

    Raises:
        CorruptCheckpointError: There are some, and none is intact: they are left where they are.
        RestoreError: The newest that is intact holds nothing that training could go on with.
    """
    damaged: list[tuple[Path, CorruptCheckpointError]] = []
    for path, file_format in candidates:
        try:
            found = open_checkpoint(path, file_format)
        except CorruptCheckpointError as error:
            damaged.append((path, error))
            continue
        for bad, reason in damaged:
            aside = set_aside(bad)
            warnings.warn(f"{reason} It is now {str(aside)!r}; {str(path)!r} is used instead.", stacklevel=2)
        return found
    if damaged:
        names = ", ".join(repr(str(path)) for path, _ in damaged[:3])
        raise RestoreError(
            f"No checkpoint is intact, of {len(damaged)}: {names}. The newest: {damaged[0][1]} "
            "To start anew, move them away; nothing was changed."
        ) from damaged[0][1]
    return None


def open_checkpoint(path: Path, file_format: Format) -> Found:
    """Check a checkpoint, and read what it holds besides weights.

    Raises:
        CorruptCheckpointError: It is damaged, or the disk does not give it back.
        RestoreError: It holds nothing besides weights, or the system refused.
    """
    try:
        file_format.verify(path)
        record, content = file_format.read_record(path), file_format.read_training(path)
    except OSError as error:
        if error.errno == errno.EIO:
            raise CorruptCheckpointError(path, "a place that the disk does not give back", str(error)) from error
        raise RestoreError(f"Error loading file from {path}. Reason: it cannot be read: {error}.") from error
    if record is None or content is None:
        raise RestoreError(
            f"The checkpoint {str(path)!r} does not hold what training could go on with: lastgood did not write it, or "
            "an older version did. Load it with lastgood.load_weights(), and move it away or save to another path."
        )
    try:
        state = read_block(content)
        saved_state.check(state)
    except ValueError as error:
        raise CorruptCheckpointError(path, "its training state", str(error)) from error
    return Found(path, file_format, record, state)


def put_back_variables(
    framework: Framework, variables: Sequence[Any], saved: Sequence[Mapping[str, Any]], source: str
) -> None:
    """Give variables the values that were saved of them.

    Raises:
        RestoreError: They are not the same ones; nothing was overwritten.
    """
    _check_alike(framework, variables, saved, source)
    _assign(variables, saved)


def _check_alike(
    framework: Framework, variables: Sequence[Any], saved: Sequence[Mapping[str, Any]], source: str
) -> None:
    there = [(framework.path_of(v).rpartition("/")[2], tuple(v.shape)) for v in variables]
    wanted = [(entry["path"].rpartition("/")[2], tuple(entry["value"].shape)) for entry in saved]
    if there != wanted:
        has, had = next((a, b) for a, b in zip_longest(there, wanted) if a != b)
        raise RestoreError(
            f"The model is not the one of {source}: beside its weights it has {has or 'nothing'}, where there was "
            f"{had or 'nothing'} (name and shape). Build and compile the model as it was."
        )


def _assign(variables: Sequence[Any], saved: Sequence[Mapping[str, Any]]) -> None:
    for variable, entry in zip(variables, saved, strict=True):
        variable.assign(entry["value"])


class Resumption(Hooks):
    """Brings a ``fit`` to where a checkpoint was made; made a callback by ``_frameworks.as_callback``.

    It is the last of the callbacks: it sees what all have done.

    Attributes:
        drawing: Whether batches are being drawn that were computed before.
    """

    def __init__(self, fit: Fit, session: Session, found: Found, model: Any) -> None:
        """Restore the model, and have this called behind all other callbacks.

        Raises:
            RestoreError: The checkpoint is not one of this model; nothing was overwritten.
        """
        super().__init__()
        self.drawing = False
        self._fit = fit
        self._session = session
        self._found = found
        self._state = found.state
        self._undo: Any = None
        self._began = self._validated = False
        if "position" not in found.state:
            raise RestoreError(
                f"The checkpoint {str(found.path)!r} is of a loop of your own, so fit() cannot go on with it. "
                "Restore it with lastgood.restore(), or save to another path."
            )
        self._position = found.state["position"]
        self._check_steps()
        found.restore(model)
        self.set_model(model)
        self.set_params(fit.callbacks.params)
        fit.append(self)

    def _check_steps(self) -> None:
        at_once, done = self._fit.steps_at_once, self._position["batch"]
        if done % at_once and at_once != self._position["steps_at_once"]:
            raise RestoreError(
                f"The checkpoint {str(self._found.path)!r} was saved after batch {done} of its epoch, and with "
                f"steps_per_execution={at_once} training cannot go on from there. Compile with the number that the "
                "run was begun with, or with one that divides it."
            )

    def on_train_begin(self, logs: Any = None) -> None:
        """Put the other callbacks' states in place: by now each has had its own beginning."""
        model = self.model
        members = self._fit.members
        callback_states.put_back(members, self._state["callbacks"])
        for name in callback_states.missing(members, self._state["callbacks"]):
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
        print(self._describe(finished=finished, stopped=stopped))  # said whatever verbose is: it happens once

    def _replay(self, hook: str, index: int) -> None:
        """Call a hook of the callbacks that had not seen it when the one before them saved.

        One of them may save in it: what it saves goes on from the same place, with the same randomness.
        """
        logs = dict(self._state["logs"])
        late = callback_states.behind(self._fit.members, self._state["callbacks"], self._state["saver"])
        randomness.put_back(self._state["randomness"])
        with self._session.at(self._position):
            for member in filter(callback_states.counts, late):
                getattr(member, hook)(index, logs)

    def _describe(self, *, finished: bool, stopped: bool) -> str:
        where = f"resumed from {self._found.path}"
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
        self._session.iterators = origin.iterators
        state = self._position.get("source")
        if state is not None and self._session.positions is not None:
            self._session.positions.begin_behind(origin.drawn + self._position["batch"], state)
        if self._fit.kind == "tf.data":
            self._fit.make_iterators(origin.iterators - origin.made_ahead)
        if self._fit.source is not None:
            put_back_source(self._fit.source, origin.source)
        if origin.made_ahead and self._fit.epochs is not None:
            self._fit.make_ahead()
        self._session.begin_epoch(epoch, origin)
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
        drawn = DrawnBatches(self._fit, model, skipped, dict(self._state["logs"]))

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
        drawn = DrawnBatches(self._fit, model, count, {})

        def then() -> None:
            model.train_function = compute
            randomness.put_back(self._state["randomness"])

        model.train_function = lambda *arguments: drawn.step_after_skipping(compute, then, *arguments)

    def _put_in_place(self, batch: Any) -> None:
        """Put back all that the save held, now that the next batch is one to compute."""
        model = self.model
        self._fit.build_metrics(model, batch)
        self._found.restore(model)
        try:
            framework = _frameworks.of(model)
            put_back_variables(
                framework, framework.metrics_variables(model), self._state["metrics"], "the checkpoint's metrics"
            )
        except RestoreError as error:
            warnings.warn(f"{error} This epoch's metrics leave out the batches before.", stacklevel=2)
        callback_states.put_back(self._fit.members, self._state["callbacks"])
        if self._state["hook"] == "batch":
            self._replay("on_train_batch_end", self._position["batch"] - 1)
        randomness.put_back(self._state["randomness"])

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
                f"The checkpoint {str(self._found.path)!r} was saved after batch {self._position['batch']} of its "
                "epoch, and the data ended before that. Train on the data that the run was begun with."
            )

    def on_train_end(self, logs: Any = None) -> None:
        """Leave no trace in the model."""
        if not self._began:
            self._undo()

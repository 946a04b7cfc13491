"""A running ``fit``, seen from a hook that it called: what saving and restarting need from either Keras."""

from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

from .callbacks import callback_classes
from .onlookers import has_code, onlooker
from .watch import Watch

_FRAMES = 12
_EPOCH_HOOKS = ("on_epoch_begin", "on_epoch_end", "on_test_begin", "on_test_end", "on_train_end")
_BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_test_batch_begin", "on_test_batch_end")
_MARK = "_lastgood_fit"


class FitAdapter:
    """A running ``fit``; this base class knows nothing about it and serves hooks that are called by hand.

    Attributes:
        callbacks: Its list of callbacks; None if a hook was called by hand.
        epochs: The object from which it draws the batches of its epochs; None if Keras does not expose it.
        session: The object that lastgood's callbacks in the ``fit`` share.
        before_making: Called before each iterator over the data is created.
    """

    def __init__(self, callbacks: Any = None, epochs: Any = None) -> None:
        """Wrap the objects that were found."""
        self.callbacks = callbacks
        self.epochs = epochs
        self.session: Any = None
        self.before_making: Callable[[], None] = _nothing
        self._watch: Watch | None = None

    @classmethod
    def of(cls, callbacks: Any, epochs: Any) -> "FitAdapter":
        """Return the adapter that other callbacks of the same ``fit`` use, or a new one if there is none."""
        known = vars(callbacks).get(_MARK) if callbacks is not None else None
        if isinstance(known, FitAdapter) and known.epochs is epochs:
            return known
        made = cls(callbacks, epochs)
        if callbacks is not None:
            setattr(callbacks, _MARK, made)
        return made

    def let_go(self) -> None:
        """Release all references to the ``fit``, which has ended.

        TensorFlow iterators that are left to the garbage collector slow it down by a second each.
        """
        if self.callbacks is not None:
            vars(self.callbacks).pop(_MARK, None)
        self.callbacks = self.epochs = self.session = None
        self.before_making = _nothing

    # The callbacks and the model

    @property
    def members(self) -> list[Any]:
        """The callbacks, in the order of their hooks."""
        return list(getattr(self.callbacks, "callbacks", ()))

    @property
    def has_restored_weights(self) -> bool:
        """Whether an ``EarlyStopping`` restored earlier weights when it stopped training."""
        stopping = callback_classes("EarlyStopping")
        return any(
            isinstance(member, stopping) and member.restore_best_weights and member.stopped_epoch > 0
            for member in self.members
        )

    def append(self, member: Any) -> None:
        """Add a callback after all others; if a hook is being called, the callback gets that hook too."""
        self.callbacks.callbacks.append(member)

    def dispatch_in_turn(self) -> bool:
        """Make Keras call batch hooks, and in the training thread; return False if that cannot be ensured."""
        return True

    def who_looks_after(self, member: Any, hook: str) -> str | None:
        """Return the name of the code that may read a file that a callback wrote in a hook; None if there is none.

        Args:
            member: The callback.
            hook: The hook's name.
        """
        members = self.members
        place = next((i for i, each in enumerate(members) if each is member), None)
        if place is None or self.epochs is None:
            return "the code that calls the hooks"
        if any(has_code(member, name) for name in (*_EPOCH_HOOKS, *_BATCH_HOOKS, "_save_model")):  # a user's subclass
            return type(member).__name__
        found = onlooker(members[place + 1 :], hook)
        return None if found is None else type(found).__name__

    def watch(self, model: Any, before: Callable[[str], None], left: Callable[[], None]) -> None:
        """Watch a ``fit`` until :meth:`unwatch`.

        Args:
            model: The model.
            before: Called before each hook in which a callback may read a file, with the name of that callback's
                class. See :func:`onlooker`.
            left: Called when an exception leaves ``fit``, in which case Keras calls no hook.
        """
        if self._watch is not None or self.callbacks is None:
            return
        self._watch = Watch(left)
        members = self.members
        for hook in (*_EPOCH_HOOKS, *_BATCH_HOOKS):
            found = onlooker(members, hook)
            if found is not None:
                self._watch.method(self.callbacks, hook, partial(before, type(found).__name__))
            elif hook in _EPOCH_HOOKS:  # batch hooks are wrapped only if necessary: it costs time
                self._watch.method(self.callbacks, hook)
        self._watch_steps(self._watch, model, self.epochs, "train_function")

    def before_steps(self, model: Any, call: Callable[[], None]) -> None:
        """Call ``call`` before each training step until :meth:`unwatch`."""
        del model, call

    def watch_validation(self, model: Any) -> None:
        """Also watch the validation that is beginning."""
        if self._watch is not None:
            self._watch_steps(self._watch, model, self._validation_of(model), "test_function")

    def unwatch(self) -> None:
        """Undo :meth:`watch`."""
        if self._watch:
            self._watch.end()
        self._watch = None

    def _watch_steps(self, watch: Watch, model: Any, epochs: Any, step: str) -> None:
        """Watch the steps of an epoch, and the drawing of its batches, for exceptions.

        Args:
            watch: The object that watches.
            model: The model.
            epochs: The object from which batches are drawn; None if Keras does not expose it.
            step: The name of the model's function that computes a step.
        """

    def _validation_of(self, model: Any) -> Any:
        """Return the object from which a validation draws its batches; None if Keras does not expose it."""

    def build(self, model: Any) -> None:
        """Build a model that has no variables yet, as its first batch would, if that is possible."""

    def build_metrics(self, model: Any, batch: Any) -> None:
        """Create the variables of the compiled metrics and losses that otherwise only the first step would create.

        Args:
            model: The model, which is also built if necessary.
            batch: A batch, or an object with its structure, shapes and types; None, or an empty one, if there is none.
        """

    def keep_state(self, model: Any) -> None:
        """Make the model keep its current state if the data ends before another step."""
        del model

    def start_at(self, model: Any, epoch: int) -> Callable[[], None]:
        """Make ``fit`` start at an epoch, counted from 0.

        Return a function that undoes this, since Keras itself never does.
        """
        raise NotImplementedError

    # The data

    @property
    def kind(self) -> str:
        """The kind of data the batches come from, such as ``"arrays"``; ``"unknown"`` if Keras hides it."""
        return "unknown"

    @property
    def source(self) -> Any:
        """The object that the user passed to ``fit`` for its batches; None for arrays, or if Keras hides it."""
        return None

    @property
    def moves_between_epochs(self) -> bool:
        """Whether the source has its own hooks for the beginning or end of an epoch, which may change its order."""
        return False

    @property
    def shuffles(self) -> bool:
        """Whether TensorFlow draws the order of the batches."""
        return False

    @property
    def batches(self) -> int | None:
        """Batches in an epoch; None if that is not known yet."""
        return None

    @property
    def steps_at_once(self) -> int:
        """Batches between two hooks."""
        return 1

    def batches_of_step(self, model: Any) -> int:
        """Return how many batches the next step takes."""
        del model
        return self.steps_at_once

    # The iterators over the data

    @property
    def current_iterator(self) -> Any:
        """The object from which this epoch's batches are drawn; None if Keras does not expose it."""
        return None

    @property
    def iterators(self) -> int | None:
        """The number of iterators over the data created so far; None if the number of started ones counts instead."""
        return None

    @property
    def passes(self) -> int:
        """The number of epochs that Keras has counted, if it shuffles by that number; otherwise 0."""
        return 0

    def count_passes(self, count: int) -> None:
        """Make Keras continue its count of epochs from ``count``."""
        del count

    @property
    def spans_epochs(self) -> bool:
        """Whether the epoch that begins continues with the iterator of the previous epoch."""
        return False

    def has_made_ahead(self, *, begun: bool) -> bool:
        """Return True if the iterator from which an epoch draws was created before the epoch's first hook.

        Args:
            begun: True if called from that hook, False if called at the end of the previous epoch.
        """
        del begun
        return False

    def make_ahead(self) -> None:
        """Create the iterator from which the next epoch draws."""

    def note_batches(self, note: Callable[[Any], Any]) -> None:
        """Wrap the source of each iterator with ``note``, if training uses every batch drawn from it."""

    def go_on_from(self, iterators: int, *, made_ahead: bool) -> None:
        """Create the iterators that existed before the first epoch's own, if ``fit`` creates that before any hook.

        Args:
            iterators: How many had been created.
            made_ahead: Whether the epoch's own iterator was one of them.
        """

    def make_iterators(self, count: int) -> None:
        """Create ``count`` iterators in the first epoch, as existed before; each advances the seeds of its shuffles."""

    def skip(self, iterator: Any, count: int) -> Any:
        """Draw the batches that earlier epochs used, and return the last one.

        Args:
            iterator: The iterator from which ``fit`` draws.
            count: How many batches to draw.
        """
        batch = None
        for _ in range(count):
            batch = next(iterator)
        return batch


def _nothing() -> None:
    pass


def frames(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield a frame and the frames that called it, up to a small number."""
    for _ in range(_FRAMES):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def is_inside_fit(model: Any, frame: FrameType | None) -> bool:
    """Return True if a frame, or one that called it, is ``model.fit``."""
    while frame is not None:
        if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model:
            return True
        frame = frame.f_back
    return False


def lineage(dataset: Any) -> str:
    """Return the names of the classes that make up a ``tf.data`` dataset, from the last to the first."""
    names: list[str] = []
    while dataset is not None and len(names) < 100:
        names.append(type(dataset).__name__)
        dataset = getattr(dataset, "_input_dataset", None)
    return " ".join(names)

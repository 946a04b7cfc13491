"""A ``fit`` that is running, seen from a hook that it called: what saves and restarts ask of either Keras's."""

from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from ._frameworks import callback_classes

_FRAMES = 12
_MARK = "_lastgood_fit"


class Fit:
    """A ``fit``; as it is here, one that nothing is known of: hooks that were called by hand.

    Attributes:
        callbacks: Its list of callbacks; None where a hook was called by hand.
        epochs: What it draws the batches of its epochs from; None where that cannot be seen.
        session: What our callbacks in it share.
        before_making: Called before each iterator of the data is made.
    """

    def __init__(self, callbacks: Any = None, epochs: Any = None) -> None:
        """Keep what was found."""
        self.callbacks = callbacks
        self.epochs = epochs
        self.session: Any = None
        self.before_making: Callable[[], None] = _nothing

    @classmethod
    def of(cls, callbacks: Any, epochs: Any) -> "Fit":
        """Return the one that other callbacks of the same ``fit`` have, if there is one."""
        known = vars(callbacks).get(_MARK) if callbacks is not None else None
        if isinstance(known, Fit) and known.epochs is epochs:
            return known
        made = cls(callbacks, epochs)
        if callbacks is not None:
            setattr(callbacks, _MARK, made)
        return made

    @property
    def members(self) -> list[Any]:
        """The callbacks, in the order of their hooks."""
        return list(getattr(self.callbacks, "callbacks", ()))

    @property
    def has_restored_weights(self) -> bool:
        """Whether an ``EarlyStopping`` has put earlier weights back, when it stopped training."""
        stopping = callback_classes("EarlyStopping")
        return any(
            isinstance(member, stopping) and member.restore_best_weights and member.stopped_epoch > 0
            for member in self.members
        )

    def append(self, member: Any) -> None:
        """Add a callback behind all others; called from a hook, it gets that hook too."""
        self.callbacks.callbacks.append(member)

    def build(self, model: Any) -> None:
        """Build a model that has no variables yet, as its first batch would, where that can be done."""

    def build_metrics(self, model: Any, batch: Any) -> None:
        """Make the variables of the compiled metrics and losses, where only the first step would.

        Args:
            model: The model; it is built too, if it is not.
            batch: A batch, or something of its structure, shapes and types; None, or an empty one, if there is none.
        """

    @property
    def kind(self) -> str:
        """What the batches come from, such as ``"arrays"``; ``"unknown"`` where that cannot be seen."""
        return "unknown"

    @property
    def source(self) -> Any:
        """The object that the user passed to ``fit`` for its batches; None for arrays, and where it cannot be seen."""
        return None

    @property
    def moves_between_epochs(self) -> bool:
        """Whether the source has hooks of its own for an epoch's beginning or end, which may change its order."""
        return False

    @property
    def shuffles(self) -> bool:
        """Whether TensorFlow draws the order of the batches."""
        return False

    @property
    def batches(self) -> int | None:
        """Batches of an epoch, where that is known by now."""
        return None

    @property
    def steps_at_once(self) -> int:
        """Batches between two hooks."""
        return 1

    def batches_of_step(self, model: Any) -> int:
        """Return how many batches the step takes that is due."""
        del model
        return self.steps_at_once

    @property
    def spans_epochs(self) -> bool:
        """Whether the epoch that begins goes on with the iterator of the epoch before it."""
        return False

    def has_made_ahead(self, *, begun: bool) -> bool:
        """Tell whether the iterator that an epoch draws from was made before its first hook.

        Args:
            begun: Whether this is that hook, or the end of the epoch before it.
        """
        del begun
        return False

    def make_ahead(self) -> None:
        """Make the iterator that the next epoch draws from."""

    @property
    def iterators(self) -> int | None:
        """How many iterators have been made of the data; None where those count that have been started."""
        return None

    def note_batches(self, note: Callable[[Any], Any]) -> None:
        """Have ``note`` wrap what each iterator is made of, where no more batches are drawn than it says."""

    def go_on_from(self, iterators: int, *, made_ahead: bool) -> None:
        """Before the first epoch: make as many iterators as there were before its own, where it makes that at once.

        Args:
            iterators: How many had been made.
            made_ahead: Whether its own was one of them.
        """

    def make_iterators(self, count: int) -> None:
        """In the first epoch: make as many iterators as there have been; each moves the seeds of its shuffles on."""

    def skip(self, iterator: Any, count: int) -> Any:
        """Draw batches that earlier epochs have used, and return the last; ``iterator`` is what ``fit`` draws from."""
        batch = None
        for _ in range(count):
            batch = next(iterator)
        return batch

    @property
    def current_iterator(self) -> Any:
        """What this epoch's batches are drawn from; None where that cannot be seen."""
        return None

    def dispatch_in_turn(self) -> bool:
        """Have batch hooks be called, in the training thread; return False where that cannot be ensured."""
        return True

    def start_at(self, model: Any, epoch: int) -> Callable[[], None]:
        """Have ``fit`` begin with an epoch, counted from 0; return what undoes it, since Keras never would."""
        raise NotImplementedError


def _nothing() -> None:
    pass


def frames(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield a frame and those that called it, a few."""
    for _ in range(_FRAMES):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def is_inside_fit(model: Any, frame: FrameType | None) -> bool:
    """Tell whether a frame of the stack, or one that called it, is ``model.fit``."""
    while frame is not None:
        if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model:
            return True
        frame = frame.f_back
    return False


def lineage(dataset: Any) -> str:
    """Return the classes that a ``tf.data`` set is made of, from the last to the first."""
    names: list[str] = []
    while dataset is not None and len(names) < 100:
        names.append(type(dataset).__name__)
        dataset = getattr(dataset, "_input_dataset", None)
    return " ".join(names)

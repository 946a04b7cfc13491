"""The internals of tf_keras 2's ``fit``.

Its private names are used here, each with a fallback for versions that have moved it. They are those of tf_keras 2.21.
"""

from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import tensorflow as tf
import tf_keras

from .fit_adapter import FitAdapter, frames, lineage
from .tf_keras2 import TFKeras2Model
from .watch import Watch

_ADAPTERS = {
    "TensorLikeDataAdapter": "arrays",
    "GenericArrayLikeDataAdapter": "arrays",
    "ListsOfScalarsDataAdapter": "arrays",
    "CompositeTensorDataAdapter": "arrays",
    "DatasetAdapter": "tf.data",
    "KerasSequenceAdapter": "Sequence",
    "GeneratorDataAdapter": "generator",
}
_COUNTERS = "_maybe_load_initial_counters_from_ckpt"


def around(frame: FrameType | None) -> FitAdapter:
    """Return the adapter of the ``fit`` that called the hook with this frame."""
    callbacks = None
    for each in frames(frame):
        owner = each.f_locals.get("self")
        if callbacks is None and isinstance(owner, tf_keras.callbacks.CallbackList):
            callbacks = owner
        elif callbacks is not None and "data_handler" in each.f_locals:
            return TFKeras2Fit.of(callbacks, _usable(each.f_locals["data_handler"]))
    return TFKeras2Fit.of(callbacks, None)


class TFKeras2Fit(FitAdapter):
    """A ``fit`` of tf_keras 2; ``epochs`` is its data handler.

    It differs from Keras 3 in two ways: all epochs draw arrays from a single iterator; and the iterator of an epoch is
    created before the epoch's first hook, for the first epoch even twice.
    """

    def __init__(self, callbacks: Any = None, epochs: Any = None) -> None:
        """Wrap the objects that were found, and begin to count iterators."""
        super().__init__(callbacks, epochs)
        self._data = None
        if epochs is not None:
            self._data = epochs._dataset = _CountedData(epochs._dataset, lambda: self.before_making())

    def let_go(self) -> None:
        """Release all references to the ``fit``."""
        super().let_go()
        self._data = None

    def build(self, model: Any) -> None:
        """Build a model that has no variables yet, as its first batch would."""
        data = self._data.dataset if self._data is not None else None
        step = getattr(model, "train_tf_function", None)
        if not model.built and step is not None and isinstance(data, tf.data.Dataset):
            step.get_concrete_function(tf.data.IteratorSpec(data.element_spec))

    def build_metrics(self, model: Any, batch: Any) -> None:
        """Create the variables of metrics and losses by tracing the training step; its first call uses that trace."""
        del batch
        step, iterator = getattr(model, "train_tf_function", None), self.current_iterator
        if not TFKeras2Model(model).metrics_are_built() and step is not None and iterator is not None:
            step.get_concrete_function(iterator)

    def _watch_steps(self, watch: Watch, model: Any, epochs: Any, step: str) -> None:
        """Watch the block around an epoch's steps."""
        del model, step
        if epochs is not None:
            watch.context(epochs, "catch_stop_iteration")

    def _validation_of(self, model: Any) -> Any:
        """Return the data handler of a validation."""
        return getattr(model, "_eval_data_handler", None)

    @property
    def kind(self) -> str:
        """The kind of data the batches come from, such as ``"arrays"``; ``"unknown"`` if Keras hides it."""
        return _ADAPTERS.get(type(getattr(self.epochs, "_adapter", None)).__name__, "unknown")

    @property
    def source(self) -> Any:
        """The ``tf.data`` dataset or ``Sequence`` that the user passed to ``fit``; None for anything else."""
        adapter = getattr(self.epochs, "_adapter", None)
        return {
            "tf.data": getattr(adapter, "_dataset", None),
            "Sequence": getattr(adapter, "_keras_sequence", None),
        }.get(self.kind)

    @property
    def moves_between_epochs(self) -> bool:
        """Whether the source is a ``Sequence``, from which a separate thread draws, and which it shuffles."""
        return self.kind == "Sequence"

    @property
    def shuffles(self) -> bool:
        """Whether TensorFlow draws the order of the batches."""
        if self.kind == "arrays":
            return bool(getattr(self.epochs._adapter, "_shuffle", True))
        return self.kind == "tf.data" and "shuffle" in lineage(self.source).lower()

    @property
    def batches(self) -> int | None:
        """Batches in an epoch; None if that is not known yet."""
        return None if self.epochs is None else self.epochs.inferred_steps

    @property
    def steps_at_once(self) -> int:
        """Batches between two hooks."""
        return 1 if self.epochs is None else int(self.epochs._steps_per_execution.numpy())

    @property
    def spans_epochs(self) -> bool:
        """Whether the epoch that begins continues with the iterator of the previous epoch."""
        return self.epochs is not None and not self._makes_one_an_epoch

    @property
    def _makes_one_an_epoch(self) -> bool:
        return bool(self.epochs._adapter.should_recreate_iterator())

    def has_made_ahead(self, *, begun: bool) -> bool:
        """Return True if the iterator from which an epoch draws was created before its first hook; it always is.

        Args:
            begun: True if called from that hook, False if called at the end of the previous epoch.
        """
        return begun

    @property
    def iterators(self) -> int | None:
        """The number of iterators over the data created since training began, started or not."""
        return self._data.made if self._data is not None else 0

    def go_on_from(self, iterators: int, *, made_ahead: bool) -> None:
        """Create the iterators that existed before the first epoch's own: each advances the seeds of its shuffles.

        Args:
            iterators: How many had been created.
            made_ahead: Whether the epoch's own iterator was one of them.
        """
        if self._data is None:
            return
        for _ in range(iterators - made_ahead - self._makes_one_an_epoch):  # the first epoch creates one too many
            iter(self._data)

    @property
    def current_iterator(self) -> Any:
        """The object from which this epoch's batches are drawn; None if Keras does not expose it."""
        return self._data.latest if self._data is not None else None

    def dispatch_in_turn(self) -> bool:
        """Make tf_keras call batch hooks, even if no callback had any when training began."""
        if self.callbacks is not None:
            self.callbacks._check_timing = False  # it needs the begin hook, which was not called for this batch
            self.callbacks._should_call_train_batch_hooks = True
            self.callbacks._should_call_test_batch_hooks = True
        return True

    def start_at(self, model: Any, epoch: int) -> Callable[[], None]:
        """Make ``fit`` start at an epoch, counted from 0; return a function that undoes this."""
        own = vars(model)  # bypasses the model's tracking of its attributes
        own[_COUNTERS] = lambda *_: (epoch, 0)
        return lambda: own.pop(_COUNTERS, None)


class _CountedData:
    """A dataset that counts the iterators created from it."""

    def __init__(self, dataset: Any, before: Callable[[], None]) -> None:
        self.dataset = dataset
        self.made = 0
        self.latest: Any = None
        self._before = before

    def __iter__(self) -> Iterator[Any]:
        self.made += 1
        self._before()
        self.latest = iter(self.dataset)
        found: Iterator[Any] = self.latest
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dataset, name)


def _usable(handler: Any) -> Any:
    """Return tf_keras's data handler if it has the attributes that this module uses."""
    names = ("_dataset", "_adapter", "_steps_per_execution", "inferred_steps", "enumerate_epochs")
    return handler if all(hasattr(handler, name) for name in names) else None

"""All that touches the inside of tf_keras 2's ``fit``, each with a fallback for a version that has moved it.

Read from tf_keras 2.21.
"""

from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import tensorflow as tf
import tf_keras

from . import _tf_keras
from ._fit import Fit, frames, lineage

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


def around(frame: FrameType | None) -> Fit:
    """Return the ``fit`` that a hook was called in, whose frame it is."""
    callbacks = None
    for each in frames(frame):
        owner = each.f_locals.get("self")
        if callbacks is None and isinstance(owner, tf_keras.callbacks.CallbackList):
            callbacks = owner
        elif callbacks is not None and "data_handler" in each.f_locals:
            return TfKerasFit.of(callbacks, _usable(each.f_locals["data_handler"]))
    return TfKerasFit.of(callbacks, None)


class TfKerasFit(Fit):
    """A ``fit`` of tf_keras 2; ``epochs`` is its handler of data.

    What differs from Keras 3: arrays are drawn from one iterator for all epochs; and the iterator of an epoch is made
    before the epoch's first hook, for the first epoch even twice.
    """

    def __init__(self, callbacks: Any = None, epochs: Any = None) -> None:
        """Keep what was found, and count iterators from now on."""
        super().__init__(callbacks, epochs)
        self._data = None
        if epochs is not None:
            self._data = epochs._dataset = _CountedData(epochs._dataset, lambda: self.before_making())

    def build(self, model: Any) -> None:
        """Build a model that has no variables yet, as its first batch would."""
        data = self._data.dataset if self._data is not None else None
        step = getattr(model, "train_tf_function", None)
        if not model.built and step is not None and isinstance(data, tf.data.Dataset):
            step.get_concrete_function(tf.data.IteratorSpec(data.element_spec))

    def build_metrics(self, model: Any, batch: Any) -> None:
        """Make the variables of metrics and losses: the training step is traced, and its first call finds it so."""
        del batch
        step, iterator = getattr(model, "train_tf_function", None), self.current_iterator
        if not _tf_keras.metrics_are_built(model) and step is not None and iterator is not None:
            step.get_concrete_function(iterator)

    @property
    def kind(self) -> str:
        """What the batches come from, such as ``"arrays"``; ``"unknown"`` where that cannot be seen."""
        return _ADAPTERS.get(type(getattr(self.epochs, "_adapter", None)).__name__, "unknown")

    @property
    def source(self) -> Any:
        """The ``tf.data`` set or ``Sequence`` that the user passed to ``fit``; None for anything else."""
        adapter = getattr(self.epochs, "_adapter", None)
        return {
            "tf.data": getattr(adapter, "_dataset", None),
            "Sequence": getattr(adapter, "_keras_sequence", None),
        }.get(self.kind)

    @property
    def moves_between_epochs(self) -> bool:
        """Whether it is a ``Sequence``: a thread of its own draws from it, and shuffles."""
        return self.kind == "Sequence"

    @property
    def shuffles(self) -> bool:
        """Whether TensorFlow draws the order of the batches."""
        if self.kind == "arrays":
            return bool(getattr(self.epochs._adapter, "_shuffle", True))
        return self.kind == "tf.data" and "shuffle" in lineage(self.source).lower()

    @property
    def batches(self) -> int | None:
        """Batches of an epoch, where that is known by now."""
        return None if self.epochs is None else self.epochs.inferred_steps

    @property
    def steps_at_once(self) -> int:
        """Batches between two hooks."""
        return 1 if self.epochs is None else int(self.epochs._steps_per_execution.numpy())

    @property
    def spans_epochs(self) -> bool:
        """Whether the epoch that begins goes on with the iterator of the epoch before it."""
        return self.epochs is not None and not self._makes_one_an_epoch

    @property
    def _makes_one_an_epoch(self) -> bool:
        return bool(self.epochs._adapter.should_recreate_iterator())

    def has_made_ahead(self, *, begun: bool) -> bool:
        """Tell whether the iterator that an epoch draws from was made before its first hook: always."""
        return begun

    @property
    def iterators(self) -> int | None:
        """How many iterators have been made of the data since training began, started or not."""
        return self._data.made if self._data is not None else 0

    def go_on_from(self, iterators: int, *, made_ahead: bool) -> None:
        """Make as many iterators as there were: each moves the seeds of its shuffles on. See :meth:`Fit.go_on_from`."""
        if self._data is None:
            return
        for _ in range(iterators - made_ahead - self._makes_one_an_epoch):  # for the first epoch it makes one too many
            iter(self._data)

    @property
    def current_iterator(self) -> Any:
        """What this epoch's batches are drawn from."""
        return self._data.latest if self._data is not None else None

    def dispatch_in_turn(self) -> bool:
        """Have batch hooks be called, also where no callback had any when training began."""
        if self.callbacks is not None:
            self.callbacks._check_timing = False  # it would ask when a batch began whose first hook was not called
            self.callbacks._should_call_train_batch_hooks = True
            self.callbacks._should_call_test_batch_hooks = True
        return True

    def start_at(self, model: Any, epoch: int) -> Callable[[], None]:
        """Have ``fit`` begin with an epoch, counted from 0; return what undoes it."""
        own = vars(model)  # past the model's tracking of what it is given
        own[_COUNTERS] = lambda *_: (epoch, 0)
        return lambda: own.pop(_COUNTERS, None)


class _CountedData:
    """A data set that counts the iterators that are made of it."""

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
    """Return tf_keras's handler of data if it is one of the kind that is known here."""
    names = ("_dataset", "_adapter", "_steps_per_execution", "inferred_steps", "enumerate_epochs")
    return handler if all(hasattr(handler, name) for name in names) else None

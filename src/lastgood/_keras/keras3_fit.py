"""The internals of Keras 3's ``fit``.

Its private names are used here, each with a fallback for versions that have moved it. They are those of Keras 3.15.1.
"""

import contextlib
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import keras

from .._errors import RestoreError
from .fit_adapter import FitAdapter, frames, lineage
from .watch import Watch

_ADAPTERS = {
    "ArrayDataAdapter": "arrays",
    "TFDatasetAdapter": "tf.data",
    "PyDatasetAdapter": "PyDataset",
    "TorchDataLoaderAdapter": "DataLoader",
    "GeneratorDataAdapter": "generator",
    "GrainDatasetAdapter": "grain",
}
_SOURCES = ("py_dataset", "_dataloader", "_dataset", "generator")


def around(frame: FrameType | None) -> FitAdapter:
    """Return the adapter of the ``fit`` that called the hook with this frame."""
    callbacks = None
    for each in frames(frame):
        owner = each.f_locals.get("self")
        if callbacks is None and isinstance(owner, keras.callbacks.CallbackList):
            callbacks = owner
        elif callbacks is not None and "epoch_iterator" in each.f_locals:
            return Keras3Fit.of(callbacks, _usable(each.f_locals["epoch_iterator"]))
    return Keras3Fit.of(callbacks, None)


class Keras3Fit(FitAdapter):
    """A ``fit`` of Keras 3; ``epochs`` is its iterator over the batches of an epoch."""

    def __init__(self, callbacks: Any = None, epochs: Any = None) -> None:
        """Wrap the objects that were found, and begin to count iterators."""
        super().__init__(callbacks, epochs)
        self._made = 0
        if epochs is not None:
            self._count_iterators()

    def let_go(self) -> None:
        """Release all references to the ``fit``, and those of its objects to themselves."""
        if self.epochs is not None:
            vars(self.epochs).pop("_get_iterator", None)
            for name in ("get_jax_iterator", "get_torch_dataloader"):
                vars(self.epochs.data_adapter).pop(name, None)
        super().let_go()

    def build(self, model: Any) -> None:
        """Build a model that has no variables yet; the TensorFlow backend would do so only with the first batch."""
        data = getattr(self.epochs, "_distributed_dataset", None)
        if not model.built and data is not None:
            self.build_metrics(model, data.element_spec)

    def build_metrics(self, model: Any, batch: Any) -> None:
        """Create the variables of metrics and losses, which the TensorFlow backend would create with the first step."""
        empty = batch is None or (isinstance(batch, list | tuple) and not batch)
        if not empty and hasattr(model, "_symbolic_build"):
            with _leaving_alone(getattr(model, "optimizer", None)):
                model._symbolic_build(data_batch=batch)

    def keep_state(self, model: Any) -> None:
        """Make the model keep its current state if the data ends before another step.

        On JAX, Keras takes the values out of the variables before it asks for a batch. If there is none, it puts back
        the result of the previous step, or nothing.
        """
        if keras.backend.backend() != "jax" or not hasattr(model, "_get_jax_state"):
            return
        kinds = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")
        state = model._get_jax_state(**dict.fromkeys(kinds, True))
        model._jax_state, model._jax_state_synced = dict(zip(kinds, state, strict=True)), True

    @property
    def kind(self) -> str:
        """The kind of data the batches come from, such as ``"arrays"``; ``"unknown"`` if Keras hides it."""
        adapter = getattr(self.epochs, "data_adapter", None)
        return _ADAPTERS.get(type(adapter).__name__, "unknown")

    @property
    def source(self) -> Any:
        """The object that the user passed to ``fit`` for its batches; None for arrays, or if Keras hides it."""
        adapter = getattr(self.epochs, "data_adapter", None)
        return next((found for name in _SOURCES if (found := getattr(adapter, name, None)) is not None), None)

    @property
    def moves_between_epochs(self) -> bool:
        """Whether the source is a ``PyDataset`` with its own hooks for the beginning or end of an epoch."""
        if self.kind != "PyDataset":
            return False
        own, stock = type(self.source), keras.utils.PyDataset
        return own.on_epoch_end is not stock.on_epoch_end or own.on_epoch_begin is not stock.on_epoch_begin

    @property
    def shuffles(self) -> bool:
        """Whether TensorFlow draws the order of the batches."""
        if self.kind == "arrays" and keras.backend.backend() == "tensorflow":
            return bool(getattr(self.epochs.data_adapter, "_shuffle", True))
        return self.kind == "tf.data" and "shuffle" in lineage(self.source).lower()

    @property
    def batches(self) -> int | None:
        """Batches in an epoch; None if that is not known yet."""
        return None if self.epochs is None else self.epochs.num_batches

    @property
    def steps_at_once(self) -> int:
        """Batches between two hooks."""
        return int(getattr(self.epochs, "steps_per_execution", 1))

    def batches_of_step(self, model: Any) -> int:
        """Return how many batches the next step takes."""
        return int(model.steps_per_execution)

    @property
    def passes(self) -> int:
        """The number of epochs that Keras has counted; since 3.16 it shuffles by that, not by NumPy's generator."""
        counted = getattr(getattr(self.epochs, "data_adapter", None), "_epoch", 0)
        return counted if isinstance(counted, int) else 0

    def count_passes(self, count: int) -> None:
        """Make Keras continue its count of epochs from ``count``."""
        adapter: Any = getattr(self.epochs, "data_adapter", None)
        if isinstance(getattr(adapter, "_epoch", None), int):
            adapter._epoch = count

    @property
    def spans_epochs(self) -> bool:
        """Whether the epoch that begins continues with the iterator of the previous epoch."""
        epochs = self.epochs
        if epochs is None or not epochs.steps_per_epoch:
            return False
        return epochs._current_iterator is not None and epochs._steps_seen > 0

    def has_made_ahead(self, *, begun: bool) -> bool:
        """Return True if the epoch that begins draws from an iterator created at the end of the previous epoch."""
        del begun
        epochs = self.epochs
        return bool(epochs is not None and epochs.steps_per_epoch) and epochs._current_iterator is not None

    def make_ahead(self) -> None:
        """Create the iterator from which the next epoch draws; on PyTorch, this alone takes a random number."""
        self.epochs._current_iterator = iter(self.epochs._get_iterator())
        self.epochs._steps_seen = 0

    @property
    def iterators(self) -> int | None:
        """The number of iterators over the data created so far, started or not, on TensorFlow; None elsewhere."""
        return self._made if keras.backend.backend() == "tensorflow" else None

    def _count_iterators(self) -> None:
        make = self.epochs._get_iterator

        def counted() -> Any:
            self._made += 1
            self.before_making()
            return make()

        self.epochs._get_iterator = counted

    def note_batches(self, note: Callable[[Any], Any]) -> None:
        """Wrap the source of each iterator with ``note``, if training uses every batch drawn from it.

        On TensorFlow it does not: a ``tf.data`` dataset draws as many batches in advance as it chooses.
        """
        adapter, backend = self.epochs.data_adapter, keras.backend.backend()
        if backend == "jax":
            on_jax = adapter.get_jax_iterator
            adapter.get_jax_iterator = lambda **options: note(on_jax(**options))
        elif backend == "torch":
            on_torch = adapter.get_torch_dataloader
            adapter.get_torch_dataloader = lambda **options: self._noted_loader(on_torch(**options), note)

    def _noted_loader(self, loader: Any, note: Callable[[Any], Any]) -> Any:
        """Wrap a loader; if Keras built it around a grain dataset, wrap that dataset, which knows its position."""
        inside: Any = getattr(loader, "dataset", None)
        if self.kind != "grain":
            return note(loader)
        inside.iterable = note(inside.iterable)
        return loader

    def make_iterators(self, count: int) -> None:
        """Create ``count`` iterators over a ``tf.data`` dataset: each advances the seeds of its shuffles."""
        if keras.backend.backend() == "tensorflow":
            for _ in range(count):
                iter(self.epochs._get_iterator())
        else:
            for _ in range(count):
                iter(self.source)

    def skip(self, iterator: Any, count: int) -> Any:
        """Draw the batches that earlier epochs used, and return the last one.

        Args:
            iterator: The iterator from which ``fit`` draws.
            count: How many batches to draw.
        """
        batch = super().skip(iterator, count)
        self.epochs._steps_seen += count
        return batch

    @property
    def current_iterator(self) -> Any:
        """The object from which this epoch's batches are drawn."""
        return self.epochs._current_iterator

    def dispatch_in_turn(self) -> bool:
        """Make Keras call batch hooks in the training thread; return False if that cannot be ensured.

        Keras decides by the list passed to ``fit`` whether hooks are asynchronous. It ignores a single callback that is
        not in a list, so its batch-end hooks would run in a pool of threads while training changes the state.
        """
        if self.callbacks is None:
            return True  # hooks called by hand run in the caller's thread
        if not hasattr(self.callbacks, "_async_train"):
            return False
        self.callbacks._async_train = self.callbacks._async_test = False
        return True

    def before_steps(self, model: Any, call: Callable[[], None]) -> None:
        """Call ``call`` before each training step until :meth:`unwatch`."""
        if self._watch is not None:
            self._watch.before(model, "train_function", call)

    def _watch_steps(self, watch: Watch, model: Any, epochs: Any, step: str) -> None:
        """Watch the block around an epoch's steps; on PyTorch, which has none, every function called for a step."""
        if epochs is None:
            return
        watch.context(epochs, "catch_stop_iteration")
        if keras.backend.backend() == "torch":
            watch.generator(epochs, "_enumerate_iterator")
            watch.method(model, step)
            kind = step.removesuffix("_function")
            watch.method(self.callbacks, f"on_{kind}_batch_begin")
            watch.method(self.callbacks, f"on_{kind}_batch_end")

    def _validation_of(self, model: Any) -> Any:
        """Return the iterator over the batches of a validation."""
        return getattr(model, "_eval_epoch_iterator", None)

    def start_at(self, model: Any, epoch: int) -> Callable[[], None]:
        """Make ``fit`` start at an epoch, counted from 0.

        Return a function that undoes this, since Keras itself never does.

        Raises:
            RestoreError: This Keras does not support it.
        """
        before = getattr(model, "_initial_epoch", None)
        if not hasattr(model, "_initial_epoch"):
            raise RestoreError(
                f"lastgood cannot make fit() of Keras {keras.version()} start after its first epoch. Upgrade lastgood, "
                f"use a Keras version that it was tested with, or call lastgood.restore(model, ...) and "
                f"fit(initial_epoch={epoch})."
            )

        def undo() -> None:
            model._initial_epoch = before

        model._initial_epoch = epoch
        return undo


@contextlib.contextmanager
def _leaving_alone(optimizer: Any) -> Iterator[None]:
    """Keep Keras from building an optimizer in the block: a model with several may never use this one."""
    built = getattr(optimizer, "built", True)
    if built:
        yield
        return
    optimizer.built = True
    try:
        yield
    finally:
        optimizer.built = False


def _usable(epochs: Any) -> Any:
    """Return Keras's iterator over epochs if it has the attributes that this module uses."""
    names = ("_current_iterator", "_steps_seen", "steps_per_epoch", "num_batches", "_get_iterator", "data_adapter")
    return epochs if all(hasattr(epochs, name) for name in names) else None

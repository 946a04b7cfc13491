"""All that touches the inside of Keras 3's ``fit``, each with a fallback for a version that has moved it.

Read from Keras 3.15.1. What it holds of the saving of models is in ``_keras``.
"""

from collections.abc import Callable
from types import FrameType
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from ._fit import Fit, frames, lineage

_ADAPTERS = {
    "ArrayDataAdapter": "arrays",
    "TFDatasetAdapter": "tf.data",
    "PyDatasetAdapter": "PyDataset",
    "TorchDataLoaderAdapter": "DataLoader",
    "GeneratorDataAdapter": "generator",
    "GrainDatasetAdapter": "grain",
}
_SOURCES = ("py_dataset", "_dataloader", "_dataset", "generator")


def around(frame: FrameType | None) -> Fit:
    """Return the ``fit`` that a hook was called in, whose frame it is."""
    callbacks = None
    for each in frames(frame):
        owner = each.f_locals.get("self")
        if callbacks is None and isinstance(owner, keras.callbacks.CallbackList):
            callbacks = owner
        elif callbacks is not None and "epoch_iterator" in each.f_locals:
            return KerasFit.of(callbacks, _usable(each.f_locals["epoch_iterator"]))
    return KerasFit.of(callbacks, None)


class KerasFit(Fit):
    """A ``fit`` of Keras 3; ``epochs`` is its iterator over the batches of an epoch."""

    def __init__(self, callbacks: Any = None, epochs: Any = None) -> None:
        """Keep what was found."""
        super().__init__(callbacks, epochs)
        self._made = 0
        if epochs is not None:
            self._count_iterators()

    def build(self, model: Any) -> None:
        """Build a model that has no variables yet, as its first batch would: the TensorFlow backend waits for that."""
        data = getattr(self.epochs, "_distributed_dataset", None)
        if not model.built and data is not None:
            self.build_metrics(model, data.element_spec)

    def build_metrics(self, model: Any, batch: Any) -> None:
        """Make the variables of metrics and losses, which the TensorFlow backend makes with the first step."""
        empty = batch is None or (isinstance(batch, list | tuple) and not batch)
        if not empty and hasattr(model, "_symbolic_build"):
            model._symbolic_build(data_batch=batch)

    @property
    def kind(self) -> str:
        """What the batches come from, such as ``"arrays"``; ``"unknown"`` where that cannot be seen."""
        adapter = getattr(self.epochs, "data_adapter", None)
        return _ADAPTERS.get(type(adapter).__name__, "unknown")

    @property
    def source(self) -> Any:
        """The object that the user passed to ``fit`` for its batches; None for arrays, and where it cannot be seen."""
        adapter = getattr(self.epochs, "data_adapter", None)
        return next((found for name in _SOURCES if (found := getattr(adapter, name, None)) is not None), None)

    @property
    def moves_between_epochs(self) -> bool:
        """Whether a ``PyDataset`` has hooks of its own."""
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
        """Batches of an epoch, where that is known by now."""
        return None if self.epochs is None else self.epochs.num_batches

    @property
    def steps_at_once(self) -> int:
        """Batches between two hooks."""
        return int(getattr(self.epochs, "steps_per_execution", 1))

    def batches_of_step(self, model: Any) -> int:
        """Return how many batches the step takes that is due."""
        return int(model.steps_per_execution)

    @property
    def spans_epochs(self) -> bool:
        """Whether the epoch that begins goes on with the iterator of the epoch before it."""
        epochs = self.epochs
        if epochs is None or not epochs.steps_per_epoch:
            return False
        return epochs._current_iterator is not None and epochs._steps_seen > 0

    def has_made_ahead(self, *, begun: bool) -> bool:
        """Tell whether the epoch that begins draws from an iterator that was made at the end of the one before it."""
        del begun
        epochs = self.epochs
        return bool(epochs is not None and epochs.steps_per_epoch) and epochs._current_iterator is not None

    def make_ahead(self) -> None:
        """Make the iterator that the next epoch draws from; on torch that alone takes a random number."""
        self.epochs._current_iterator = iter(self.epochs._get_iterator())
        self.epochs._steps_seen = 0

    @property
    def iterators(self) -> int | None:
        """How many iterators have been made of the data on TensorFlow, started or not; None elsewhere."""
        return self._made if keras.backend.backend() == "tensorflow" else None

    def _count_iterators(self) -> None:
        make = self.epochs._get_iterator

        def counted() -> Any:
            self._made += 1
            self.before_making()
            return make()

        self.epochs._get_iterator = counted

    def note_batches(self, note: Callable[[Any], Any]) -> None:
        """Have ``note`` wrap what each iterator is made of, where Keras draws no more batches than it says.

        On TensorFlow a ``tf.data`` set draws ahead, by as many as it sees fit.
        """
        adapter, backend = self.epochs.data_adapter, keras.backend.backend()
        if backend == "jax":
            on_jax = adapter.get_jax_iterator
            adapter.get_jax_iterator = lambda: note(on_jax())
        elif backend == "torch":
            on_torch = adapter.get_torch_dataloader
            adapter.get_torch_dataloader = lambda: self._noted_loader(on_torch(), note)

    def _noted_loader(self, loader: Any, note: Callable[[Any], Any]) -> Any:
        """Wrap a loader; one that Keras puts around a set of grain is wrapped inside, where the positions are."""
        inside: Any = getattr(loader, "dataset", None)
        if self.kind != "grain":
            return note(loader)
        inside.iterable = note(inside.iterable)
        return loader

    def make_iterators(self, count: int) -> None:
        """Make as many iterators of a ``tf.data`` set as there have been: each moves the seeds of its shuffles on."""
        if keras.backend.backend() == "tensorflow":
            for _ in range(count):
                iter(self.epochs._get_iterator())
        else:
            for _ in range(count):
                iter(self.source)

    def skip(self, iterator: Any, count: int) -> Any:
        """Draw batches that earlier epochs have used, and return the last; ``iterator`` is what ``fit`` draws from."""
        batch = super().skip(iterator, count)
        self.epochs._steps_seen += count
        return batch

    @property
    def current_iterator(self) -> Any:
        """What this epoch's batches are drawn from."""
        return self.epochs._current_iterator

    def dispatch_in_turn(self) -> bool:
        """Have Keras call batch hooks in the training thread; return False where that cannot be ensured.

        Keras decides on asynchronous hooks by looking into the list that ``fit`` got. A bare callback is in no list,
        and its batch-end hooks then run in a pool of threads, on a state that training is changing.
        """
        if self.callbacks is None:
            return True  # called by hand, so in the thread of whoever calls
        if not hasattr(self.callbacks, "_async_train"):
            return False
        self.callbacks._async_train = self.callbacks._async_test = False
        return True

    def start_at(self, model: Any, epoch: int) -> Callable[[], None]:
        """Have ``fit`` begin with an epoch, counted from 0; return what undoes it, since Keras never would."""
        before = model._initial_epoch

        def undo() -> None:
            model._initial_epoch = before

        model._initial_epoch = epoch
        return undo


def _usable(epochs: Any) -> Any:
    """Return Keras's iterator over epochs if it is one of the kind that is known here."""
    names = ("_current_iterator", "_steps_seen", "steps_per_epoch", "num_batches", "_get_iterator", "data_adapter")
    return epochs if all(hasattr(epochs, name) for name in names) else None


def global_seed() -> npt.NDArray[Any] | None:
    """Return the state of the generator that ``keras.random`` draws from where no seed is given; None if unused."""
    generator = _global_seed_generator()
    return None if generator is None else np.array(keras.ops.convert_to_numpy(generator.state))


def set_global_seed(state: npt.NDArray[Any]) -> None:
    """Have that generator go on from ``state``."""
    try:
        from keras.src.random.seed_generator import global_seed_generator
    except ImportError:
        return
    global_seed_generator().state.assign(state)


def _global_seed_generator() -> Any:
    try:
        from keras.src.backend.common import global_state
        from keras.src.random import seed_generator
    except ImportError:
        return None
    name = getattr(seed_generator, "GLOBAL_SEED_GENERATOR", "global_seed_generator")  # 3.12 has no constant for it
    return global_state.get_global_attribute(name)

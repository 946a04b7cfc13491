"""The weights of one model, laid out: which variable's bytes go where in a file. Made once, kept from save to save."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from .. import _keras
from .._snapshot import copier
from .._snapshot.staging import Memory
from .hdf5_layout import Dataset, Hdf5Layout, plan

_SPARE = 1024


class WeightsPlan:
    """A weights file without its data, and where the data come from.

    Attributes:
        layout: The file.
        state: What the plan was made from.
    """

    def __init__(self, state: _keras.SavedState, datasets: list[Dataset], layout: Hdf5Layout) -> None:
        """Keep a layout and what it was made from; use :meth:`of`."""
        self.state = state
        self._datasets = datasets
        self._variables = [array.value for array in state.arrays if isinstance(array.value, keras.Variable)]
        self.layout = layout

    @classmethod
    def of(cls, model: Any, record_room: int) -> "WeightsPlan | None":
        """Lay out the weights of ``model``; None where stock Keras has to write them.

        Args:
            model: A built model.
            record_room: Bytes for the record; 0 for none.
        """
        state = _keras.saved_state(model)
        if state is None:
            return None
        datasets = [_describe(array) for array in state.arrays]
        known = [dataset for dataset in datasets if dataset is not None]
        if len(known) != len(datasets) or len({(d.group, d.key) for d in known}) != len(known):
            return None
        return cls(state, known, plan(state.groups, known, record_room))

    def current(self, model: Any) -> _keras.SavedState | None:
        """Return what is to be saved of ``model`` now; None where it is not what this plan was made for.

        Variables are as good a year later. A layer that computes what it saves, and one with assets, has to be asked.
        """
        now = {id(variable) for variable in _variables(model)}
        if not all(id(variable) in now for variable in self._variables):
            return None
        if len(self._variables) == len(self._datasets) and not self.state.assets:
            return self.state
        state = _keras.saved_state(model)
        return state if state and [_describe(array) for array in state.arrays] == self._datasets else None

    def copy_into(self, memory: Memory, state: _keras.SavedState) -> None:
        """Copy the data of ``state`` to their places in ``memory``."""
        filled = [
            (_tensor(array.value), _place(memory, dataset, offset))
            for array, dataset, (offset, length) in zip(state.arrays, self._datasets, self.layout.extents, strict=True)
            if length
        ]
        copier(keras.backend.backend())([source for source, _ in filled], [place for _, place in filled])


class PlanCache:
    """The plan of one callback's model."""

    def __init__(self, *, with_record: bool) -> None:
        """Make no plan yet.

        Args:
            with_record: Whether the HDF5 file is to have room for the record.
        """
        self._with_record = with_record
        self._plan: WeightsPlan | None = None

    def get(self, model: Any, record: str = "") -> tuple[WeightsPlan, _keras.SavedState] | None:
        """Return a plan with room for ``record``, and what to fill it with; None where stock Keras has to write.

        Args:
            model: The model to be saved; one that is not built has no plan.
            record: The record's text.
        """
        needed = len(record.encode()) if self._with_record else 0
        if self._plan is not None and self._plan.layout.record[1] >= needed:
            state = self._plan.current(model)
            if state is not None:
                return self._plan, state
        self._plan = WeightsPlan.of(model, 2 * needed + _SPARE if self._with_record else 0) if model.built else None
        return (self._plan, self._plan.state) if self._plan else None


def _place(memory: Memory, dataset: Dataset, offset: int) -> npt.NDArray[Any]:
    """Return the part of ``memory`` that is a data set's; a type that NumPy has no name for is integers there."""
    dtype = np.dtype("uint16" if dataset.dtype == "bfloat16" else dataset.dtype)
    return np.ndarray(dataset.shape, dtype, memory.data, offset)


def _variables(model: Any) -> Iterable[Any]:
    optimizer = getattr(model, "optimizer", None)
    return [*model.variables, *(optimizer.variables if optimizer is not None else ())]


def _tensor(value: Any) -> Any:
    """Return what the backend holds for a variable; what a layer has computed comes as an array."""
    return value.value if isinstance(value, keras.Variable) else np.asarray(keras.ops.convert_to_numpy(value))


def _describe(array: _keras.SavedArray) -> Dataset | None:
    """Return the data set that stock saving would make of ``array``; None for a type that is not known here."""
    try:
        shape = tuple(int(length) for length in array.value.shape)
        dtype = keras.backend.standardize_dtype(array.value.dtype)
        known = np.dtype("uint16" if dtype == "bfloat16" else dtype)
    except (AttributeError, TypeError, ValueError):
        return None
    return Dataset(array.group, array.key, shape, dtype) if known.kind in "biuf" and known.itemsize <= 8 else None

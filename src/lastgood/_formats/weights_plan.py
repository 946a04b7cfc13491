"""The layout of a model's weights file: where each variable's bytes go. It is made once and reused by each save."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._bytes import digests
from .._bytes.hdf5_layout import Dataset, Hdf5Layout, plan
from .._bytes.training_block import Training, TrainingBlock
from .._errors import ArgumentError
from .._keras import ModelAdapter, SavedArray, SavedState, are_the_same
from .._snapshot import copier
from .._snapshot.staging import Memory
from .._snapshot.state_copy import Reached
from . import window
from .base import Format


class WeightsPlan:
    """The layout of a weights file, and the variables that fill it.

    Attributes:
        layout: The file without its data.
        unsaved: The variables that have no place in it.
    """

    def __init__(
        self, adapter: ModelAdapter, state: SavedState, datasets: list[Dataset], layout: Hdf5Layout, *, assets: bool
    ) -> None:
        """Keep a layout and what it was made from; use :meth:`of`."""
        self.layout = layout
        self._datasets = datasets
        full = (i for i, (_, length) in enumerate(layout.extents) if length)
        self._order = sorted(full, key=lambda i: layout.extents[i])
        self._assets = assets
        self._variables = adapter.planned_variables()
        self.unsaved = state.lacks(adapter.state_variables())
        # A layer that computes what it saves, or that has assets, must be queried at each save.
        settled = not state.assets and all(adapter.is_variable(array.value) for array in state.arrays)
        self._state = state if settled else None

    @classmethod
    def of(cls, adapter: ModelAdapter, training: Training, *, assets: bool) -> "FilledPlan | None":
        """Lay out a model's weights; return the plan, and the current values to fill it with.

        Args:
            adapter: A built model.
            training: Returns the training state.
            assets: Whether to save the asset files, too.

        Returns:
            None if stock Keras has to write the file.
        """
        state = adapter.saved_state(assets=assets)
        if state is None:
            return None
        datasets = [_describe(adapter, array) for array in state.arrays]
        known = [dataset for dataset in datasets if dataset is not None]
        if len(known) != len(datasets) or len({(d.group, d.key) for d in known}) != len(known):
            return None
        if len(known) >= digests.MOST_ROWS:
            return None
        block = training(state.lacks(adapter.state_variables()))
        made = cls(adapter, state, known, plan(state.groups, known, block.capacity), assets=assets)
        return FilledPlan(made, state, block)

    def current(self, adapter: ModelAdapter) -> SavedState | None:
        """Return the model's current state to save; None if the model no longer fits this plan."""
        if not are_the_same(adapter.planned_variables(), self._variables):
            return None
        if self._state is not None:
            return self._state
        state = adapter.saved_state(assets=self._assets)
        return state if state and [_describe(adapter, array) for array in state.arrays] == self._datasets else None

    def places(self, memory: Memory, state: SavedState, variables: Sequence[Any]) -> list[npt.NDArray[Any]]:
        """Return the places of the values of some variables in the file in memory."""
        numbers = {id(state.arrays[i].value): i for i in self._order}
        found = [numbers[id(variable)] for variable in variables]
        return [_place(memory, self._datasets[i], self.layout.extents[i][0]) for i in found]

    def copy_into(
        self, memory: Memory, filled: "FilledPlan", adapter: ModelAdapter, reached: Reached, most: int = 0
    ) -> None:
        """Copy a model's values and its training state to their places, in the order of the file.

        Args:
            memory: The file.
            filled: The values to fill this plan with.
            adapter: The model.
            reached: Called with the offset up to which the file is complete.
            most: About how many bytes to copy at most between two calls of ``reached``; 0 for any number.
        """
        copy = copier(adapter.backend())
        tensors = [_tensor(adapter, filled.state.arrays[i].value) for i in self._order]
        starts = [self.layout.extents[i][0] for i in self._order]
        places = [_place(memory, self._datasets[i], start) for i, start in zip(self._order, starts, strict=True)]
        offset, length = self.layout.training
        if most:
            window.copy_in_groups(copy, tensors, places, starts, lambda stop: reached(min(stop, offset)), most)
        else:
            nexts = [*starts[1:], offset]
            copy(tensors, places, lambda count: reached(min(nexts[count - 1], offset)))
        filled.block.write_into(memory[offset : offset + length], copy)


class FilledPlan(NamedTuple):
    """A plan, and the values to fill it with.

    Attributes:
        plan: The plan.
        state: The weights.
        block: The training state.
    """

    plan: WeightsPlan
    state: SavedState
    block: TrainingBlock


class PlanCache:
    """The plan of one callback's model."""

    def __init__(self, *, assets: bool) -> None:
        """Start without a plan.

        Args:
            assets: Whether to save the asset files, too.
        """
        self._assets = assets
        self._plan: WeightsPlan | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "PlanCache":
        """Return a cache without a plan: a copied callback is for another model."""
        return PlanCache(assets=self._assets)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the plan: in another process, the model has other variables."""
        return {"_assets": self._assets, "_plan": None}

    def get(self, adapter: ModelAdapter, training: Training) -> FilledPlan | None:
        """Return a plan, and the values to fill it with; None if stock Keras has to write the file.

        Args:
            adapter: The model to save; an unbuilt model has no plan.
            training: Returns the training state.
        """
        if self._plan is not None:
            state = self._plan.current(adapter)
            block = training(self._plan.unsaved) if state is not None else None
            if state is not None and block is not None and block.size <= self._plan.layout.training[1]:
                return FilledPlan(self._plan, state, block)
        made = WeightsPlan.of(adapter, training, assets=self._assets) if adapter.model.built else None
        self._plan = made.plan if made else None
        return made


class PlannedFormat(Format):
    """A format in which lastgood lays out the weights itself, and copies them to their places."""

    def unsaved_variables(self, adapter: ModelAdapter) -> list[Any]:
        """Return the variables that stock saving leaves out."""
        return adapter.unsaved_variables(optimizer=True)

    def check_processes(self, adapter: ModelAdapter, split: Sequence[Any]) -> None:
        """Check that each of the split variables has a place in the file."""
        known = not split or adapter.saved_state(assets=False) is not None
        without = set(map(id, self.unsaved_variables(adapter) if known else split))
        for variable in split:
            if id(variable) in without:
                raise ArgumentError(
                    f"The variable '{adapter.path_of(variable)}' is split over the devices of several processes, and "
                    "stock Keras does not save this variable. Leave it out of the layout map, so that each process "
                    "holds all of it."
                )

    @cached_property
    def plans(self) -> PlanCache:
        """The plan of the last save; it includes the assets of a whole model."""
        return PlanCache(assets=not self.weights_only)


def _place(memory: Memory, dataset: Dataset, offset: int) -> npt.NDArray[Any]:
    """Return a dataset's part of ``memory``; integers stand for a type that NumPy does not have."""
    dtype = np.dtype("uint16" if dataset.dtype == "bfloat16" else dataset.dtype)
    return np.ndarray(dataset.shape, dtype, memory.data, offset)


def _tensor(adapter: ModelAdapter, value: Any) -> Any:
    """Return the backend's tensor of a variable, or an array for a value that a layer computed."""
    return adapter.tensor_of(value) if adapter.is_variable(value) else adapter.to_numpy(value)


def has_place(adapter: ModelAdapter, array: SavedArray) -> bool:
    """Return True if an array's type is one that the layout of a weights file has a place for."""
    return _describe(adapter, array) is not None


def _describe(adapter: ModelAdapter, array: SavedArray) -> Dataset | None:
    """Return the dataset that stock saving would make of ``array``; None if its type is not supported."""
    try:
        shape = tuple(int(length) for length in array.value.shape)
        dtype = adapter.dtype_of(array.value)
        known = np.dtype("uint16" if dtype == "bfloat16" else dtype)
    except (AttributeError, TypeError, ValueError):
        return None
    return Dataset(array.group, array.key, shape, dtype) if known.kind in "biuf" and known.itemsize <= 8 else None

"""The weights of one model, laid out: which variable's bytes go where in a file. Made once, kept from save to save."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _frameworks
from .._frameworks import Framework, SavedArray, SavedState
from .._snapshot import copier
from .._snapshot.staging import Memory
from .._snapshot.taking import Reached
from . import digests
from .hdf5_layout import Dataset, Hdf5Layout, plan
from .training_block import Training, TrainingBlock


class WeightsPlan:
    """A weights file without its data, and where the data come from.

    Attributes:
        layout: The file.
        unsaved: The variables whose values it has no place for.
    """

    def __init__(
        self, model: Any, state: SavedState, datasets: list[Dataset], layout: Hdf5Layout, *, assets: bool
    ) -> None:
        """Keep a layout and what it was made from; use :meth:`of`."""
        self.layout = layout
        self._datasets = datasets
        full = (i for i, (_, length) in enumerate(layout.extents) if length)
        self._order = sorted(full, key=lambda i: layout.extents[i])
        self._assets = assets
        framework = _frameworks.of(model)
        self._variables = framework.planned_variables(model)
        self.unsaved = _frameworks.variables_not_in(state, framework.state_variables(model))
        # A layer that computes what it saves, and one with assets, has to be asked at each save.
        settled = not state.assets and all(framework.is_variable(array.value) for array in state.arrays)
        self._state = state if settled else None

    @classmethod
    def of(cls, model: Any, training: Training, *, assets: bool) -> "Filled | None":
        """Lay out the weights of ``model``; return the plan, and what to fill it with now.

        Args:
            model: A built model.
            training: Returns the training state.
            assets: Whether the asset files are to be saved, too.

        Returns:
            None where stock Keras has to write.
        """
        framework = _frameworks.of(model)
        state = framework.saved_state(model, assets=assets)
        if state is None:
            return None
        datasets = [_describe(framework, array) for array in state.arrays]
        known = [dataset for dataset in datasets if dataset is not None]
        if len(known) != len(datasets) or len({(d.group, d.key) for d in known}) != len(known):
            return None
        if len(known) >= digests.MOST_ROWS:
            return None
        block = training(_frameworks.variables_not_in(state, framework.state_variables(model)))
        made = cls(model, state, known, plan(state.groups, known, block.capacity), assets=assets)
        return Filled(made, state, block)

    def current(self, model: Any) -> SavedState | None:
        """Return what is to be saved of ``model`` now; None where it is not what this plan was made for."""
        framework = _frameworks.of(model)
        if not _frameworks.are_the_same(framework.planned_variables(model), self._variables):
            return None
        if self._state is not None:
            return self._state
        state = framework.saved_state(model, assets=self._assets)
        return state if state and [_describe(framework, array) for array in state.arrays] == self._datasets else None

    def copy_into(self, memory: Memory, filled: "Filled", model: Any, reached: Reached) -> None:
        """Copy the data of ``model`` and its training state to their places, one behind the other.

        Args:
            memory: The file.
            filled: What this plan is filled with.
            model: The model.
            reached: Told up to which byte all is in its place.
        """
        framework = _frameworks.of(model)
        copy = copier(framework.backend())
        values = [filled.state.arrays[i].value for i in self._order]
        offset, length = self.layout.training
        nexts = [*(self.layout.extents[i][0] for i in self._order[1:]), offset]
        copy(
            [_tensor(framework, value) for value in values],
            [_place(memory, self._datasets[i], self.layout.extents[i][0]) for i in self._order],
            lambda count: reached(min(nexts[count - 1], offset)),
        )
        filled.block.write_into(memory[offset : offset + length], copy)


class Filled(NamedTuple):
    """A plan, and what to fill it with.

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
        """Make no plan yet.

        Args:
            assets: Whether the asset files are to be saved, too.
        """
        self._assets = assets
        self._plan: WeightsPlan | None = None

    def get(self, model: Any, training: Training) -> Filled | None:
        """Return a plan, and what to fill it with; None where stock Keras has to write.

        Args:
            model: The model to be saved; one that is not built has no plan.
            training: Returns the training state.
        """
        if self._plan is not None:
            state = self._plan.current(model)
            block = training(self._plan.unsaved) if state is not None else None
            if state is not None and block is not None and block.size <= self._plan.layout.training[1]:
                return Filled(self._plan, state, block)
        made = WeightsPlan.of(model, training, assets=self._assets) if model.built else None
        self._plan = made.plan if made else None
        return made


def _place(memory: Memory, dataset: Dataset, offset: int) -> npt.NDArray[Any]:
    """Return the part of ``memory`` that is a data set's; a type that NumPy has no name for is integers there."""
    dtype = np.dtype("uint16" if dataset.dtype == "bfloat16" else dataset.dtype)
    return np.ndarray(dataset.shape, dtype, memory.data, offset)


def _tensor(framework: Framework, value: Any) -> Any:
    """Return what the backend holds for a variable; what a layer has computed comes as an array."""
    return framework.tensor_of(value) if framework.is_variable(value) else framework.to_numpy(value)


def _describe(framework: Framework, array: SavedArray) -> Dataset | None:
    """Return the data set that stock saving would make of ``array``; None for a type that is not known here."""
    try:
        shape = tuple(int(length) for length in array.value.shape)
        dtype = framework.dtype_of(array.value)
        known = np.dtype("uint16" if dtype == "bfloat16" else dtype)
    except (AttributeError, TypeError, ValueError):
        return None
    return Dataset(array.group, array.key, shape, dtype) if known.kind in "biuf" and known.itemsize <= 8 else None

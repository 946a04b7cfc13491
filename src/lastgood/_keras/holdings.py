"""What a model holds that training changes, whether Keras lists it or not."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from .names import AutomaticNames
from .reach import Kinds, Reach


class Holdings(ABC):
    """The variables and optimizers of one model.

    Attributes:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        """Take the model."""
        self.model = model
        self._reach: Reach | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Holdings":
        """Return the adapter of a copy of the model, which is looked through anew."""
        return type(self)(copy.deepcopy(self.model, memo))

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process can use: the model travels, and is looked through anew."""
        return {"model": self.model, "_reach": None}

    # What Keras lists

    @staticmethod
    @abstractmethod
    def to_numpy(value: Any) -> npt.NDArray[Any]:
        """Return the value of a variable or tensor; the array may share the backend's memory."""

    @abstractmethod
    def weights(self) -> list[Any]:
        """Return the model's weights; none if it is not built."""

    @abstractmethod
    def metrics_variables(self) -> list[Any]:
        """Return the variables in which the metrics accumulate."""

    @abstractmethod
    def listed_variables(self) -> list[Any]:
        """Return the variables that Keras lists and training changes: weights, seeds of random layers, the optimizer's.

        Those of metrics are not among them.
        """

    # What can be reached from the model

    @staticmethod
    @abstractmethod
    def kinds() -> Kinds:
        """Return how to tell what the objects in a model are."""

    def reach(self) -> Reach:
        """Return what can be reached from the model; it is looked through again where something new may have come."""
        if self._reach is None or not self._reach.is_current:
            known = [*self.listed_variables(), *self.metrics_variables()]
            self._reach = Reach(self.model, self.kinds(), known, self._reach)
        return self._reach

    def automatic_names(self) -> AutomaticNames:
        """Return the names in the model that Keras gave."""
        return AutomaticNames(self.reach().names)

    def optimizers(self) -> dict[str, Any]:
        """Return all optimizers that the model has, by the attributes that lead to them."""
        return self.reach().optimizers

    def unlisted_variables(self) -> dict[str, Any]:
        """Return the variables that Keras does not list, by the attributes that lead to them.

        They belong to further optimizers, or keep a state of a layer: training may change them.
        """
        reach = self.reach()
        found: dict[str, Any] = {}
        main = getattr(self.model, "optimizer", None)
        for path, optimizer in reach.optimizers.items():
            if optimizer is not main:
                found |= {f"{path}/{i}": variable for i, variable in enumerate(self.variables_of(optimizer))}
        return found | reach.variables

    def state_variables(self) -> list[Any]:
        """Return every variable that training may change, once, but those of metrics."""
        return once([*self.listed_variables(), *self.unlisted_variables().values()])

    def iterations(self) -> int | None:
        """Return the number of updates by the optimizer that has made most; None if the model uses no optimizer.

        A model with its own ``train_step`` may leave the optimizer unused that ``compile`` gave it.
        """
        optimizers = self.optimizers().values()
        counters = [each.iterations for each in optimizers if getattr(each, "iterations", None) is not None]
        most = max((int(self.to_numpy(counter)) for counter in counters), default=None)
        return most if most or not self.has_own_step() else None

    @staticmethod
    def variables_of(optimizer: Any) -> list[Any]:
        """Return the variables of an optimizer."""
        found = getattr(optimizer, "variables", ())
        return list(found() if callable(found) else found)  # a legacy optimizer has a method

    def optimizer_variables(self) -> list[Any]:
        """Return the variables of the optimizer that ``compile`` was given; none if there is none."""
        return self.variables_of(getattr(self.model, "optimizer", None))

    @abstractmethod
    def has_own_step(self) -> bool:
        """Return True if the model's class computes a training step by itself."""

    @abstractmethod
    def targets_of(self, optimizer: Any) -> list[Any] | None:
        """Return the variables that an optimizer was built for: an empty list if it is not built, None if unknown."""

    @abstractmethod
    def build_for(self, optimizer: Any, variables: Sequence[Any]) -> None:
        """Create the variables of an optimizer that is not built, for those that it is to update."""

    def build_optimizer(self) -> None:
        """Create the optimizer's variables where only the first batch would.

        Where the model has further optimizers and its own step, nobody knows before that which are used, and for what.
        """
        optimizer = getattr(self.model, "optimizer", None)
        if optimizer is None or not self.model.built or self._is_built(optimizer):
            return
        if not self.has_own_step() or len(self.optimizers()) == 1:
            self.build_for(optimizer, self.model.trainable_variables)

    def targets(self) -> dict[str, list[int]]:
        """Return what each optimizer was built for, as places among :meth:`_updatable`, where that is known.

        The one optimizer of a model with Keras's own step is built for what can be trained, and is left out.
        """
        if len(self.optimizers()) < 2 and not self.has_own_step():
            return {}
        places = {id(variable): i for i, variable in enumerate(self._updatable())}
        built = {path: self.targets_of(optimizer) for path, optimizer in self.optimizers().items()}
        known = {path: [places.get(id(v), -1) for v in found] for path, found in built.items() if found is not None}
        return {path: found for path, found in known.items() if -1 not in found}

    def build_optimizers(self, targets: Mapping[str, Sequence[int]]) -> None:
        """Build the optimizers as :meth:`targets` said that they were; where it said nothing, as the first batch would.

        Raises:
            IndexError: They were built for variables that this model does not have.
        """
        for path, optimizer in self.optimizers().items():
            found = targets.get(path)
            if found is None and optimizer is getattr(self.model, "optimizer", None):
                self.build_optimizer()
            elif found is not None and len(found) and not self._is_built(optimizer):
                variables = self._updatable()
                self.build_for(optimizer, [variables[i] for i in found])

    def _is_built(self, optimizer: Any) -> bool:
        return self.targets_of(optimizer) != []

    def _updatable(self) -> list[Any]:
        """Return the variables that an optimizer may be built for, in an order that a restart repeats."""
        return once([*self.weights(), *self.reach().variables.values()])


def once(variables: Iterable[Any]) -> list[Any]:
    """Return each variable once, in order."""
    return list({id(variable): variable for variable in variables}.values())

"""The variables and optimizers of a model that training changes, whether or not Keras lists them."""

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
        """Wrap a model."""
        self.model = model
        self._reach: Reach | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Holdings":
        """Return an adapter of a copy of the model, which is searched again."""
        return type(self)(copy.deepcopy(self.model, memo))

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle: the model alone, which is searched again after unpickling."""
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

        The variables of metrics are not included.
        """

    # What can be reached from the model

    @staticmethod
    @abstractmethod
    def kinds() -> Kinds:
        """Return the rules that classify the objects in a model."""

    def reach(self) -> Reach:
        """Return what can be reached from the model; search it again if something new may have been added."""
        if self._reach is None or not self._reach.is_current:
            known = [*self.listed_variables(), *self.metrics_variables()]
            self._reach = Reach(self.model, self.kinds(), known, self._reach)
        return self._reach

    def automatic_names(self) -> AutomaticNames:
        """Return the names in the model that Keras generated."""
        return AutomaticNames(self.reach().names)

    def optimizers(self) -> dict[str, Any]:
        """Return all optimizers of the model, by attribute path."""
        return self.reach().optimizers

    def unlisted_variables(self) -> dict[str, Any]:
        """Return the variables that Keras does not list, by attribute path.

        They belong to additional optimizers or hold the state of a layer, so training may change them.
        """
        reach = self.reach()
        found: dict[str, Any] = {}
        main = getattr(self.model, "optimizer", None)
        for path, optimizer in reach.optimizers.items():
            if optimizer is not main:
                found |= {f"{path}/{i}": variable for i, variable in enumerate(self.variables_of(optimizer))}
        return found | reach.variables

    def state_variables(self) -> list[Any]:
        """Return every variable that training may change, without duplicates, except those of metrics."""
        return once([*self.listed_variables(), *self.unlisted_variables().values()])

    def iterations(self) -> int | None:
        """Return the highest number of updates by any optimizer; None if the model uses no optimizer.

        A model with its own ``train_step`` may not use the optimizer passed to ``compile``.
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
        """Return the variables of the optimizer passed to ``compile``; an empty list without one."""
        return self.variables_of(getattr(self.model, "optimizer", None))

    @abstractmethod
    def has_own_step(self) -> bool:
        """Return True if the model's class overrides ``train_step``."""

    @abstractmethod
    def targets_of(self, optimizer: Any) -> list[Any] | None:
        """Return the variables that an optimizer was built for: an empty list if it is not built, None if unknown."""

    @abstractmethod
    def build_for(self, optimizer: Any, variables: Sequence[Any]) -> None:
        """Create the variables of an unbuilt optimizer, for the variables that it will update."""

    def build_optimizer(self) -> None:
        """Create the optimizer's variables that otherwise only the first batch would create.

        With several optimizers and an own ``train_step``, do nothing: what each updates is unknown before that batch.
        """
        optimizer = getattr(self.model, "optimizer", None)
        if optimizer is None or not self.model.built or self._is_built(optimizer):
            return
        if not self.has_own_step() or len(self.optimizers()) == 1:
            self.build_for(optimizer, self.model.trainable_variables)

    def targets(self) -> dict[str, list[int]]:
        """Return the variables that each optimizer was built for, if known, as indices into :meth:`_updatable`.

        The only optimizer of a model with Keras's ``train_step`` is omitted: it updates the trainable variables.
        """
        if len(self.optimizers()) < 2 and not self.has_own_step():
            return {}
        places = {id(variable): i for i, variable in enumerate(self._updatable())}
        built = {path: self.targets_of(optimizer) for path, optimizer in self.optimizers().items()}
        known = {path: [places.get(id(v), -1) for v in found] for path, found in built.items() if found is not None}
        return {path: found for path, found in known.items() if -1 not in found}

    def build_optimizers(self, targets: Mapping[str, Sequence[int]]) -> None:
        """Build each optimizer for its variables in ``targets``; without an entry, as the first batch would.

        Raises:
            IndexError: ``targets`` contains variables that this model does not have.
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

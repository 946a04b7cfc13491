"""Loading of a whole model from a file of stock Keras: its ``load_model``, split into parts."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any, ClassVar, Protocol

from .adapter import Generation


class SetInitialValues(Protocol):
    """Gives variables their initial values."""

    def __call__(self, *, but_not: Collection[Any] = ()) -> None:
        """Give all variables their initial values, except some that have been filled since."""


def _has_them(*, but_not: Collection[Any] = ()) -> None:
    """Do nothing for a model whose variables have their initial values."""


@dataclass(frozen=True)
class CreatedModel:
    """A model as its configuration describes it.

    Attributes:
        model: The model.
        set_initial_values: To be called once the variables that a file holds are filled.
    """

    model: Any
    set_initial_values: SetInitialValues = _has_them


@dataclass(frozen=True)
class ModelLoader(ABC):
    """Stock Keras's ``load_model`` with its arguments; exceptions from Keras pass through unchanged.

    Attributes:
        generation: The package whose ``load_model`` is used.
        custom_objects: Classes and functions by their names in configurations.
        compile: Whether to compile the model as it was when saved.
        safe_mode: Whether to refuse a configuration that contains code.
    """

    generation: ClassVar[Generation]
    custom_objects: Mapping[str, Any] | None = None
    compile: bool = True
    safe_mode: bool = True

    @abstractmethod
    def whole(self, path: str) -> Any:
        """Load the model from a file or directory with stock Keras alone."""

    @abstractmethod
    def from_config(self, config: bytes) -> "CreatedModel | None":
        """Create the model of a ``config.json``; return None if Keras does not expose how."""

    @abstractmethod
    def completed(self, model: Any, path: str) -> Any:
        """Load the rest of an archive into a model of :meth:`from_config` with stock Keras; return the model."""

    def _completed(self, load: Callable[..., Any], model: Any, path: str) -> Any:
        """Return the result of Keras's ``load``, which uses ``model`` instead of building one from a configuration."""
        from .stores import with_names  # here, because it imports HDF5

        if not isinstance(load, FunctionType) or "deserialize_keras_object" not in load.__globals__:
            return self.whole(path)
        return with_names(load, deserialize_keras_object=lambda *_, **__: model)(path, *self._arguments())

    def _arguments(self) -> tuple[Any, ...]:
        return self.custom_objects, self.compile, self.safe_mode

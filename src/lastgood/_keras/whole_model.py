"""Loading of a whole model from a file of stock Keras: its ``load_model``, split into parts."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any, ClassVar

from .adapter import Generation


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
    def creating(self, config: bytes) -> Iterator[Any]:
        """Yield the model of a ``config.json``, before and after it is compiled; nothing if Keras does not expose how.

        Each time, variables may await their values (:meth:`ModelAdapter.awaits_value`). Then those that were not given
        any get their initial values.
        """

    @abstractmethod
    def completed(self, model: Any, path: str) -> Any:
        """Load the rest of an archive into a model of :meth:`creating` with stock Keras; return the model."""

    def _completed(self, load: Callable[..., Any], model: Any, path: str) -> Any:
        """Return the result of Keras's ``load``, which uses ``model`` instead of building one from a configuration."""
        from .stores import with_names  # here, because it imports HDF5

        if not isinstance(load, FunctionType) or "deserialize_keras_object" not in load.__globals__:
            return self.whole(path)
        return with_names(load, deserialize_keras_object=lambda *_, **__: model)(path, *self._arguments())

    def _arguments(self) -> tuple[Any, ...]:
        return self.custom_objects, self.compile, self.safe_mode

"""A whole model from a file of stock Keras: what its ``load_model`` does, in the parts of which it consists."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any, ClassVar

from .adapter import Generation


@dataclass(frozen=True)
class ModelLoader(ABC):
    """Stock Keras's ``load_model`` with its arguments; whatever Keras raises is passed on as it is.

    Attributes:
        generation: The package whose ``load_model`` it is.
        custom_objects: Classes and functions by the names that configurations have for them.
        compile: Whether to compile the model as it was.
        safe_mode: Whether to refuse a configuration that holds code.
    """

    generation: ClassVar[Generation]
    custom_objects: Mapping[str, Any] | None = None
    compile: bool = True
    safe_mode: bool = True

    @abstractmethod
    def whole(self, path: str) -> Any:
        """Return the model in a file or directory, all of it by stock Keras."""

    @abstractmethod
    def from_config(self, config: bytes) -> Any:
        """Return the model of a ``config.json`` with the values that variables begin with; None if Keras hides how."""

    @abstractmethod
    def completed(self, model: Any, path: str) -> Any:
        """Return a model of :meth:`from_config` with all else that is in its archive, by stock Keras."""

    def _completed(self, load: Callable[..., Any], model: Any, path: str) -> Any:
        """Return what Keras's own function loads if its configuration has become ``model`` already."""
        from .stores import with_names  # here, because it imports HDF5

        if not isinstance(load, FunctionType) or "deserialize_keras_object" not in load.__globals__:
            return self.whole(path)
        return with_names(load, deserialize_keras_object=lambda *_, **__: model)(path, *self._arguments())

    def _arguments(self) -> tuple[Any, ...]:
        return self.custom_objects, self.compile, self.safe_mode

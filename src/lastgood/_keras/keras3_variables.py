"""Variables of Keras 3: their tensors, types and values. The private names are those of Keras 3.15.1."""

import functools
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from .adapter import ModelAdapter
from .reach import BackendVariable


class Keras3Variables(ModelAdapter):
    """The part of a model's adapter that is about single variables."""

    @staticmethod
    def is_variable(value: Any) -> bool:
        """Return True if ``value`` is a variable of Keras."""
        return isinstance(value, keras.Variable)

    @staticmethod
    def path_of(variable: Any) -> str:
        """Return a variable's path."""
        return str(variable.path)

    @staticmethod
    def dtype_of(variable: Any) -> str:
        """Return the dtype in which the backend stores a variable or tensor, under Keras's name for it.

        The variable may report another one: JAX narrows int64 to int32, PyTorch widens uint32 to int64.
        """
        if Keras3Variables.awaits_value(variable):
            return _dtype_of_values(str(variable.dtype))
        return str(keras.backend.standardize_dtype(Keras3Variables.tensor_of(variable).dtype))

    @staticmethod
    def tensor_of(variable: Any) -> Any:
        """Return the backend's tensor of a variable.

        ``variable.value`` first looks for scopes, but saves never run in one. For 10,000 variables, that takes a tenth
        of the snapshot's time.
        """
        held = getattr(variable, "_value", None)
        return getattr(variable, "value", variable) if held is None else held

    @staticmethod
    def awaits_value(variable: Any) -> bool:
        """Return True if a variable was created in a stateless scope and has no value yet."""
        return getattr(variable, "_value", variable) is None and callable(getattr(variable, "_initializer", None))

    @staticmethod
    def give_value(variable: Any, tensor: Any) -> None:
        """Make a tensor, on the device that Keras uses, the initial value."""
        value = keras.ops.convert_to_tensor(tensor)
        variable._initializer = lambda *_, **__: value

    @staticmethod
    def to_numpy(value: Any) -> npt.NDArray[Any]:
        """Return the value of a variable or tensor; the array may share the backend's memory."""
        return np.asarray(keras.ops.convert_to_numpy(value._value if isinstance(value, BackendVariable) else value))


@functools.cache
def _dtype_of_values(dtype: str) -> str:
    """Return the dtype in which the backend stores the values of a variable with the given one."""
    return str(keras.backend.standardize_dtype(keras.ops.convert_to_tensor(np.zeros((), dtype)).dtype))

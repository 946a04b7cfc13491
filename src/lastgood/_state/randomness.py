"""The global random number generators of Python, NumPy, torch, TensorFlow and Keras, as far as they are in use."""

import random
import sys
from typing import Any

import numpy as np


def capture() -> dict[str, Any]:
    """Return the state of every global generator, as plain values and arrays.

    A package that is not imported has no state yet, and is not imported for this.
    """
    version, words, gauss = random.getstate()
    state: dict[str, Any] = {
        "python": {"version": version, "words": np.array(words, np.uint32), "gauss": gauss},
        "numpy": np.random.get_state(legacy=False),
        "keras": _keras3_seed().global_seed() if _imported("keras") else None,
    }
    if torch := _imported("torch"):
        state["torch"] = torch.get_rng_state().numpy()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            state["cuda"] = [each.numpy() for each in torch.cuda.get_rng_state_all()]
    if _imported("tensorflow"):
        state["tensorflow"] = _tensorflow_state()
    return state


def check(state: Any) -> None:
    """Check that the generators accept a state from a file; NumPy does not check the positions in it.

    Raises:
        ValueError: A value is invalid.
        KeyError: An entry is missing.
        TypeError: A value has the wrong type.
    """
    for name in ("python", "tensorflow"):
        words = state[name] if name == "python" else state.get(name)
        if words is not None:
            _demand(_is_words(words["words"]) and words["words"].shape == (625,))
            random.Random().setstate((words["version"], tuple(map(int, words["words"])), words["gauss"]))
            _demand(words["gauss"] is None or isinstance(words["gauss"], float))
    _check_numpy(state["numpy"])
    _demand(state.get("keras") is None or (_is_words(state["keras"]) and state["keras"].shape == (2,)))
    _demand("torch" not in state or _is_words(state["torch"]))
    _demand(isinstance(state.get("cuda", []), list) and all(map(_is_words, state.get("cuda", []))))


def _check_numpy(state: Any) -> None:
    """Check the state of NumPy's generator: first its positions, then by setting another generator to it."""
    inner = state["state"]
    for place, end in ((inner.get("pos", 0), 624), (state.get("buffer_pos", 0), 4)):
        _demand(isinstance(place, int | np.integer) and 0 <= int(place) <= end)
    known: Any = getattr(np.random, state["bit_generator"], None)
    _demand(isinstance(known, type) and issubclass(known, np.random.BitGenerator))
    np.random.RandomState(known()).set_state(state)


def _is_words(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "iu"


def _demand(holds: bool) -> None:
    if not holds:
        raise ValueError("invalid value for the state of a random number generator")


def put_back(state: dict[str, Any]) -> None:
    """Set all generators to a state that :func:`capture` returned."""
    python = state["python"]
    random.setstate((python["version"], tuple(int(word) for word in python["words"]), python["gauss"]))
    np.random.set_state(state["numpy"])
    if state.get("keras") is not None and _imported("keras"):
        _keras3_seed().set_global_seed(state["keras"])
    torch = _imported("torch")
    if torch and "torch" in state:
        torch.set_rng_state(torch.from_numpy(state["torch"].copy()))
    if torch and state.get("cuda") and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all([torch.from_numpy(each.copy()) for each in state["cuda"]])
    if _imported("tensorflow") and state.get("tensorflow"):
        _put_back_tensorflow(state["tensorflow"])


def _imported(name: str) -> Any:
    """Return a package; None if it is not imported, or another thread is still importing it."""
    module = sys.modules.get(name)
    return None if getattr(getattr(module, "__spec__", None), "_initializing", False) else module


def _tensorflow_state() -> dict[str, Any] | None:
    """Return the state from which eager operations draw seeds; None unless ``tf.random.set_seed`` was called."""
    generator = _tensorflow_generator()
    if generator is None:
        return None
    version, words, gauss = generator.getstate()
    return {"version": version, "words": np.array(words, np.uint32), "gauss": gauss}


def _put_back_tensorflow(state: dict[str, Any]) -> None:
    generator = _tensorflow_generator()
    if generator is not None:
        generator.setstate((state["version"], tuple(int(word) for word in state["words"]), state["gauss"]))


def _tensorflow_generator() -> random.Random | None:
    try:
        from tensorflow.python.eager import context

        generator = context.context()._rng
    except (ImportError, AttributeError):  # this TensorFlow has it under another name
        return None
    return generator if isinstance(generator, random.Random) else None


def _keras3_seed() -> Any:
    from .._keras import keras3_seed as found  # imported here because tf_keras does not need Keras 3

    return found

"""The global generators of random numbers: of Python, NumPy, torch, TensorFlow and Keras, as far as they are in use."""

import random
import sys
from typing import Any

import numpy as np


def capture() -> dict[str, Any]:
    """Return the state of every global generator, as plain values and arrays.

    A package that nobody has imported has no state yet, and is not imported for it.
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
    """Check that a state which a file holds is one that the generators take: NumPy's looks at no position itself.

    Raises:
        ValueError: It is not.
        KeyError: It lacks something.
        TypeError: Something in it is of another kind.
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
    """Check the state of NumPy's generator by giving it to another one of its kind, once its position is known."""
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
        raise ValueError("the state of a generator is not what a save puts there")


def put_back(state: dict[str, Any]) -> None:
    """Have all generators go on from a state that :func:`capture` returned."""
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
    """Return a package; None if nobody has imported it, or another thread is in the middle of that."""
    module = sys.modules.get(name)
    return None if getattr(getattr(module, "__spec__", None), "_initializing", False) else module


def _tensorflow_state() -> dict[str, Any] | None:
    """Return the state that eager operations draw their seeds from, where ``tf.random.set_seed`` was called."""
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
    except (ImportError, AttributeError):  # TensorFlow has it under another name
        return None
    return generator if isinstance(generator, random.Random) else None


def _keras3_seed() -> Any:
    from .._keras import keras3_seed as found  # here, because where tf_keras trains, Keras 3 need not be imported

    return found

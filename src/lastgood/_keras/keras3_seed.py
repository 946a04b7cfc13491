"""The generator from which ``keras.random`` of Keras 3 draws if you pass no seed.

Its names are private; each is used with a fallback. They are those of Keras 3.15.1.
"""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt


def global_seed() -> npt.NDArray[Any] | None:
    """Return the state of the generator; None if it has not been used."""
    generator = _global_seed_generator()
    return None if generator is None else np.array(keras.ops.convert_to_numpy(generator.state))


def set_global_seed(state: npt.NDArray[Any]) -> None:
    """Make the generator continue from ``state``."""
    try:
        from keras.src.random.seed_generator import global_seed_generator
    except ImportError:
        return
    global_seed_generator().state.assign(state)


def _global_seed_generator() -> Any:
    try:
        from keras.src.backend.common import global_state
        from keras.src.random import seed_generator
    except ImportError:
        return None
    name = getattr(
        seed_generator, "GLOBAL_SEED_GENERATOR", "global_seed_generator"
    )  # Keras 3.12 has no constant for it
    return global_state.get_global_attribute(name)

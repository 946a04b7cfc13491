"""Models for the benchmarks, built to a given size of state, optimizer included, and facts about their device."""

import time

import keras
import numpy as np

_LAYERS = 5
_BATCH = 8


def dense(state_bytes):
    """Return a model with about ``state_bytes`` of state, built and compiled with Adam, and the width of its input."""
    width = max(1, round((state_bytes / (3 * 4 * _LAYERS)) ** 0.5))  # weights and Adam's two moments, as float32
    model = keras.Sequential([keras.Input((width,)), *(keras.layers.Dense(width) for _ in range(_LAYERS))])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model, width


def batches(width, steps):
    """Return rows for ``steps`` training steps, which serve as input and as target, and the batch size."""
    return np.random.default_rng(0).random((steps * _BATCH, width), np.float32), _BATCH


class Variables(keras.Model):
    """A model that has only variables, all of the same size."""

    def __init__(self, state_bytes, count):
        super().__init__()
        shape = (int(state_bytes) // 4 // count,)
        self.numbers = [self.add_weight(shape=shape, initializer="ones", name=f"v{i}") for i in range(count)]
        self.built = True

    def call(self, x):
        return x


def state_bytes(model):
    """Return the size in bytes of a model's variables and its optimizer's."""
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer else ())]
    return sum(int(np.prod(v.shape)) * np.dtype(v.dtype).itemsize for v in variables)


def device():
    """Return the name of the device that Keras computes on."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    if keras.backend.backend() == "jax":
        import jax

        return jax.devices()[0].device_kind
    return keras.distribution.list_devices()[0]


def fetch_seconds(size):
    """Return the seconds of a plain copy of ``size`` bytes from the GPU, after one to warm up; None without a GPU."""
    if "cpu" in device():
        return None
    fetch = _fetch_with_torch if keras.backend.backend() == "torch" else _fetch_with_jax
    return [fetch(size) for _ in range(2)][-1]


def _fetch_with_torch(size):
    import torch

    source, pinned = torch.ones(size, dtype=torch.uint8, device="cuda"), torch.ones(size, dtype=torch.uint8)
    pinned = pinned.pin_memory()
    torch.cuda.synchronize()
    started = time.perf_counter()
    pinned.copy_(source)
    return time.perf_counter() - started


def _fetch_with_jax(size):
    import jax

    source = jax.block_until_ready(jax.numpy.ones(size, "uint8"))
    started = time.perf_counter()
    np.asarray(source)
    return time.perf_counter() - started

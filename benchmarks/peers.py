"""Contenders that are not callbacks of Keras: each saves the state of a model in the usual way of its library."""

import time
from concurrent.futures import Future

import keras
from contenders import Contender


class Saver(keras.callbacks.Callback):
    """Calls ``save`` with a state and a path every so many batches, and keeps what it returns."""

    def __init__(self, save, path, every):
        super().__init__()
        self._save, self._path, self._every, self._batches = save, path, every, 0
        self.last = None

    def on_train_batch_end(self, batch, logs=None):
        self._batches += 1
        if self._batches % self._every == 0:
            self.last = self._save(state(self.model), self._path)


def state(model):
    """Return the values of a model's variables and its optimizer's, by a name each, as the backend's tensors."""
    variables = [*model.variables, *model.optimizer.variables]
    return {str(number): variable.value for number, variable in enumerate(variables)}


def _safetensors(values, path):
    from safetensors.numpy import save_file

    save_file({name: keras.ops.convert_to_numpy(value) for name, value in values.items()}, path)


def _torch_save(values, path):
    import torch

    torch.save({name: value.detach() for name, value in values.items()}, path)


def _torch_async_save(values, path):
    from torch.distributed import checkpoint

    return checkpoint.async_save(
        {name: value.detach() for name, value in values.items()}, checkpoint_id=str(path), no_dist=True
    )


class _Manager:
    """Saves with Orbax's own ``CheckpointManager``."""

    def __init__(self):
        self._manager = None

    def __call__(self, values, path):
        import orbax.checkpoint as ocp

        if self._manager is None:
            self._manager = ocp.CheckpointManager(path, options=ocp.CheckpointManagerOptions(max_to_keep=1))
        self._manager.save(time.time_ns(), args=ocp.args.StandardSave(values))
        return self._manager


def _wait(callback):
    """Wait for a save that goes on in the background."""
    if isinstance(callback.last, Future):
        callback.last.result()
    elif callback.last is not None:
        callback.last.wait_until_finished()


def here():
    """Return the contenders that can save the tensors of this backend."""
    found = [Contender("safetensors", "m.safetensors", lambda path, every: Saver(_safetensors, path, every))]
    if keras.backend.backend() == "jax":
        found.append(
            Contender("Orbax CheckpointManager", "peer", lambda path, every: Saver(_Manager(), path, every), _wait)
        )
    if keras.backend.backend() == "torch":
        found += [
            Contender("torch.save", "m.pt", lambda path, every: Saver(_torch_save, path, every)),
            Contender("torch async_save", "peer", lambda path, every: Saver(_torch_async_save, path, every), _wait),
        ]
    return found

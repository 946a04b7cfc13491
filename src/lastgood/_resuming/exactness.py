"""What keeps a restarted run from repeating the one before it bit for bit: said before training, with the remedy."""

import sys
from collections.abc import Iterator, Mapping

from .._keras import FitAdapter, ModelAdapter, release


def obstacles(fit: FitAdapter, adapter: ModelAdapter) -> Iterator[str]:
    """Yield a sentence for each thing about a ``fit`` that cannot be made to go on exactly."""
    yield from adapter.obstacles()
    if fit.callbacks is None or fit.epochs is None:
        yield (
            "this Keras does not show what its fit() is doing, so a restart goes on at the beginning of an epoch, and "
            "the other callbacks start anew. Upgrade lastgood, or use the Keras version that it was tested with."
        )
    elif fit.kind == "generator":
        yield (
            "a generator cannot be put back: after a restart as many batches are drawn from it as were used. That is "
            "exact only if it yields the same batches each time. Pass a keras.utils.PyDataset, or a data set with "
            "get_state() and set_state()."
        )
    elif fit.moves_between_epochs and not callable(getattr(fit.source, "get_state", None)):
        yield (
            f"{type(fit.source).__name__} has its own on_epoch_begin() or on_epoch_end(), which may change its order. "
            "Give it get_state() and set_state(), or let fit(shuffle=True) shuffle."
        )
    elif _draws_without_seed(fit):
        yield (
            "TensorFlow shuffles without a global seed, and in another order after a restart. Call "
            "keras.utils.set_random_seed(...) at the beginning of the script, before data sets are made."
        )


def change_of_version(versions: Mapping[str, str], adapter: ModelAdapter) -> str | None:
    """Return what is to be said where a run goes on with another Keras than it was saved with; None if it does not.

    Args:
        versions: What the record says of the packages that wrote the checkpoint.
        adapter: The model.
    """
    before, now = versions.get(adapter.generation, ""), adapter.version()
    if not before or release(before) == release(now):
        return None
    return (
        f"The run was saved with Keras {before}, and this is {now}: each may shuffle and compute in its own way, so "
        "from here on it may not repeat bit for bit what it would have been."
    )


def _draws_without_seed(fit: FitAdapter) -> bool:
    """Tell whether ``tf.data`` may shuffle, and nobody has said how: an own seed of a data set cannot be seen."""
    if not fit.shuffles:
        return False
    context = sys.modules.get("tensorflow.python.eager.context")
    return context is not None and getattr(context, "global_seed", lambda: 0)() is None

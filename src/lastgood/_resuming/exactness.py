"""What keeps a restart from being exact, as warnings before training that name the remedy."""

import sys
from collections.abc import Iterator, Mapping

from .._keras import FitAdapter, ModelAdapter, release


def obstacles(fit: FitAdapter, adapter: ModelAdapter) -> Iterator[str]:
    """Yield a sentence for each property of a ``fit`` that keeps a restart from being exact."""
    yield from adapter.obstacles()
    if fit.callbacks is None or fit.epochs is None:
        yield (
            "this Keras does not show what its fit() is doing, so a restart continues at the beginning of an epoch and "
            "the other callbacks start fresh. Upgrade lastgood, or use a Keras version that it was tested with."
        )
    elif fit.kind == "generator":
        yield (
            "a generator cannot be rewound: a restart draws as many batches from a new one as were used. That is exact "
            "only if it yields the same batches each time. Pass a keras.utils.PyDataset, or a dataset with "
            "get_state() and set_state()."
        )
    elif fit.moves_between_epochs and not callable(getattr(fit.source, "get_state", None)):
        yield (
            f"{type(fit.source).__name__} has its own on_epoch_begin() or on_epoch_end(), which may change its order. "
            "Give it get_state() and set_state(), or let fit(shuffle=True) shuffle."
        )
    elif _draws_without_seed(fit):
        yield (
            "TensorFlow shuffles without a global seed, so the order is different after a restart. Call "
            "keras.utils.set_random_seed(...) at the beginning of the script, before you create datasets."
        )


def change_of_version(versions: Mapping[str, str], adapter: ModelAdapter) -> str | None:
    """Return a warning if a run was saved with another release of Keras; None if it was not.

    Args:
        versions: The versions of the packages that wrote the checkpoint, from its record.
        adapter: The model.
    """
    before, now = versions.get(adapter.generation, ""), adapter.version()
    if not before or release(before) == release(now):
        return None
    return (
        f"The run was saved with Keras {before}, and this is {now}. Releases may shuffle and compute differently, so "
        "from here on the results may not be bit for bit those of an uninterrupted run."
    )


def change_of_batches(before: int | None, now: int | None) -> str | None:
    """Return a warning if an epoch has another number of batches than in the run that was saved; None if it has not.

    Args:
        before: The number when the checkpoint was saved; None if it is not known.
        now: The number in this ``fit``; None if it is not known yet.
    """
    if before is None or now is None or before == now:
        return None
    return (
        f"The run was saved with {before} batches in an epoch, and this fit() has {now}: the batch size or the data "
        "has changed, so the results are not those of an uninterrupted run."
    )


def _draws_without_seed(fit: FitAdapter) -> bool:
    """Return True if ``tf.data`` may shuffle without a global seed; a dataset's own seed cannot be seen."""
    if not fit.shuffles:
        return False
    context = sys.modules.get("tensorflow.python.eager.context")
    return context is not None and getattr(context, "global_seed", lambda: 0)() is None

"""The metrics that a Keras 3 model was compiled with, by their names in the logs.

Keras keeps them under private names, each used with a fallback. The names are those of Keras 3.15.1.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras

from .._policies.monitor import Mode


def directions(model: Any) -> dict[str, Mode]:
    """Return the mode of each compiled metric that specifies one, by its name in the logs."""
    ways: Mapping[Any, Mode] = {"up": "max", "down": "min"}
    found = _compiled_metrics(model) or ()
    return {name: ways[way] for name, metric in found if (way := getattr(metric, "_direction", None)) in ways}


def log_names(model: Any) -> set[str] | None:
    """Return the names that training will log, without those of validation; None if that is unknown."""
    own, stock = type(model), keras.Model
    hooks = ("train_step", "compute_metrics", "get_metrics_result", "compute_loss")
    if not getattr(model, "compiled", False) or any(getattr(own, h) is not getattr(stock, h) for h in hooks):
        return None
    metrics = _compiled_metrics(model)
    if metrics is None:
        return None
    names = {name for name, _ in metrics}
    container = getattr(model, "_compile_metrics", None)
    names.update(metric.name for metric in model.metrics if metric is not container)
    # With several outputs, the loss creates its trackers with the first batch, one for each output.
    outputs = _outputs(model)
    if len(outputs) > 1:
        names.update(f"{output}_loss" for output in outputs)
    return names | {"loss", "learning_rate", "lr"}


def _compiled_metrics(model: Any) -> list[tuple[str, Any]] | None:
    """Return the metrics passed to ``compile`` as (name in the logs, metric); None if Keras does not expose them."""
    compiled = getattr(model, "_compile_metrics", None)
    if compiled is None:
        return []
    if getattr(compiled, "built", False):
        try:
            lists = [*compiled._flat_metrics, *compiled._flat_weighted_metrics]
            return list(_named([entry for entry in lists if entry]))
        except AttributeError:
            return None
    # The TensorFlow backend builds them with the first batch. Before that, only the names of a single output are known.
    if len(_outputs(model)) > 1:
        return None
    given = [getattr(compiled, name, None) or [] for name in ("_user_metrics", "_user_weighted_metrics")]
    flat = [metric for group in given for metric in keras.tree.flatten(group)]
    return [(m if isinstance(m, str) else str(getattr(m, "name", getattr(m, "__name__", ""))), m) for m in flat]


def _outputs(model: Any) -> Sequence[str]:
    """Return the names of the model's outputs; an empty sequence if it does not know them."""
    return getattr(model, "output_names", None) or ()


def _named(lists: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Name metrics as the logs do: prefixed with the name of the output; a repeated name gets a number."""
    seen: dict[str, int] = {}
    for entry in lists:
        for metric in entry.metrics:
            name = f"{entry.output_name}_{metric.name}" if entry.output_name else metric.name
            count = seen.get(name, 0)
            seen[name] = count + 1
            yield (f"{name}_{count}" if count else name), metric

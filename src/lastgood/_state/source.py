"""The state of a dataset, and of the generators that a torch ``DataLoader`` draws from."""

from typing import Any


def capture(source: Any, generators: list[Any]) -> Any:
    """Return the state of a dataset, if it has one, and the states of generators; None if there is neither.

    Args:
        source: The dataset.
        generators: What :func:`generator_states` returned, now or earlier.
    """
    own = source.get_state() if callable(getattr(source, "get_state", None)) else None
    return None if own is None and not generators else {"own": own, "generators": generators}


def generator_states(source: Any) -> list[Any]:
    """Return the states of the generators that a torch ``DataLoader`` or its sampler draws from."""
    return [generator.get_state().numpy() for generator in _generators(source)]


def put_back(source: Any, state: Any) -> None:
    """Restore a state that :func:`capture` returned."""
    if state is None:
        return
    if state["own"] is not None and callable(getattr(source, "set_state", None)):
        source.set_state(state["own"])
    if state["generators"]:
        import torch

        for generator, words in zip(_generators(source), state["generators"], strict=False):
            generator.set_state(torch.from_numpy(words.copy()))


def _generators(source: Any) -> list[Any]:
    sampler = getattr(source, "sampler", None)
    inner = getattr(getattr(source, "batch_sampler", None), "sampler", None)
    found = [getattr(owner, "generator", None) for owner in (source, sampler, inner)]
    return list({id(each): each for each in found if type(each).__module__.partition(".")[0] == "torch"}.values())

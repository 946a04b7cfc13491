"""One ``fit`` as a save sees it: what a checkpoint has to hold, besides weights, for training to go on from it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from .. import _frameworks
from .._fit import Fit
from .._layout.training_block import Tensor, TrainingBlock, UnpackableError
from .._policies.monitor import as_scalar
from . import callback_states, randomness
from .positions import Positions


def is_count(value: Any) -> bool:
    """Tell whether a value that a file holds is a number of things."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 0


@dataclass(frozen=True)
class Origin:
    """Where the batches that are being drawn began: made again, it gives them again.

    Attributes:
        randomness: The generators' states, at the beginning of the first epoch that draws from this iterator.
        iterators: How many iterators of the data had been made by then.
        source: The state of the data set, if it has one.
        made_ahead: Whether the iterator had been made by then.
        drawn: Batches that earlier epochs drew from the iterator.
    """

    randomness: Mapping[str, Any]
    iterators: int
    source: Any
    made_ahead: bool
    drawn: int = 0

    @classmethod
    def of(cls, saved: Any) -> "Origin":
        """Return the origin that a file holds.

        Raises:
            ValueError: It holds none.
        """
        names = {each.name for each in fields(cls)}
        if not isinstance(saved, dict) or not names - {"drawn"} <= saved.keys() <= names:
            raise ValueError("the origin of its batches is not what a save puts there")
        origin = cls(**saved)
        counts = (origin.iterators, origin.drawn)
        sound = all(map(is_count, counts)) and isinstance(origin.made_ahead, bool | np.bool_)
        if not sound or not (origin.source is None or origin.source.keys() == {"own", "generators"}):
            raise ValueError("the origin of its batches is not what a save puts there")
        return origin


class Session:
    """Follows a ``fit`` from its first epoch on.

    Attributes:
        fit: The ``fit``.
        iterators: Iterators of the data that have been started; those before a restart are counted in.
        positions: Those of its data; None if the data cannot be set to one.
    """

    def __init__(self, fit: Fit) -> None:
        """Begin before the first epoch."""
        self.fit = fit
        self.iterators = 0
        self.positions: Positions | None = None
        if Positions.are_known(fit.kind, fit.source):
            self.positions = Positions(fit.source)
            fit.note_batches(self.positions.note)
        self._epoch: int | None = None
        self._origin: Origin | None = None
        self._before_validation: _Moment | None = None
        self._given: Mapping[str, Any] | None = None
        self._generators: list[Any] = []
        fit.before_making = self._note_generators

    def _note_generators(self) -> None:
        self._generators = _states_of_generators(self.fit.source)

    @classmethod
    def of(cls, fit: Fit) -> "Session":
        """Return the one session of a ``fit``, whichever of its callbacks asks."""
        if fit.session is None:
            fit.session = cls(fit)
        session: Session = fit.session
        return session

    def begin_epoch(self, epoch: int, resumed: Origin | None = None) -> None:
        """Note where an epoch's batches begin, when the first of our callbacks says so.

        Args:
            epoch: The epoch, counted from 0.
            resumed: The origin of an epoch that is gone on with.
        """
        if epoch == self._epoch:
            return
        self._epoch = epoch
        self._before_validation = None
        if resumed is not None:
            self._origin = resumed
        elif self._origin is not None and self.fit.spans_epochs:
            self._origin = replace(self._origin, drawn=self._origin.drawn + (self.fit.batches or 0))
            return
        else:
            self._origin = self._here(begun=True)
        self.iterators += 1

    def begin_validation(self, model: Any) -> None:
        """Keep what validation overwrites, in case that training has to stop in the middle of it."""
        self._before_validation = _Moment(randomness.capture(), _arrays(model))

    def block(
        self,
        model: Any,
        unsaved: Sequence[Any],
        place: tuple[int, int | None],
        logs: Mapping[str, Any],
        saver: Any,
        hook: str,
    ) -> TrainingBlock:
        """Return what is to be saved beside the weights.

        Args:
            model: The model.
            unsaved: The variables that are not saved as weights or optimizer state.
            place: The epoch, counted from 0, and the batches done in it; None at its end.
            logs: The logs of the hook.
            saver: The callback that saves.
            hook: Where it saves: at the end of an ``"epoch"`` or a ``"batch"``, or in the middle of a ``"validation"``,
                so that what that has overwritten is taken from before it.
        """
        moment = self._before_validation if hook == "validation" else None
        members = self.fit.members
        tree = {
            **_state_of_model(model, unsaved),
            "position": self._position(*place),
            "randomness": moment.randomness if moment else randomness.capture(),
            "callbacks": callback_states.take(members),
            "saver": next((i for i, member in enumerate(members) if member is saver), -1),
            "logs": {name: number for name, value in logs.items() if (number := as_scalar(value)) is not None},
            "hook": hook,
            "stopped": bool(getattr(model, "stop_training", False)),
            "data": self.fit.kind,
        }
        if moment:
            tree["metrics"] = moment.metrics
        try:
            return TrainingBlock(tree)
        except UnpackableError:
            callbacks = [
                entry | {"state": callback_states.packable(entry["class"], entry["state"])}
                for entry in tree["callbacks"]
            ]
            return TrainingBlock(tree | {"callbacks": callbacks})

    @contextmanager
    def at(self, position: Mapping[str, Any]) -> Iterator[None]:
        """Have saves in this block go on from the position of an earlier one."""
        self._given = position
        try:
            yield
        finally:
            self._given = None

    def _position(self, epoch: int, batch: int | None) -> Mapping[str, Any]:
        """Return where training goes on: an epoch, the batches of it that are done, and how to come to the next."""
        if self._given is not None:
            return self._given
        origin = self._origin or self._here(begun=False)
        if batch is None:
            spans = self.fit.spans_epochs
            origin = replace(origin, drawn=origin.drawn + (self.fit.batches or 0)) if spans else self._here(begun=False)
        drawn = origin.drawn + (batch or 0)
        return {
            "epoch": epoch + (batch is None),
            "batch": batch or 0,
            "steps_at_once": self.fit.steps_at_once,
            "source": self.positions.behind(drawn) if drawn and self.positions else None,
            "origin": {each.name: getattr(origin, each.name) for each in fields(origin)},
        }

    def _here(self, *, begun: bool) -> Origin:
        """Return where an epoch that begins now, or has just done so, draws its batches from."""
        iterators = self.iterators if self.fit.iterators is None else self.fit.iterators
        ahead = self.fit.has_made_ahead(begun=begun)
        return Origin(randomness.capture(), iterators, self._state_of_source(ahead=ahead), ahead)

    def _state_of_source(self, *, ahead: bool) -> Any:
        """Return the state of a data set that has one, and those of the generators of a torch ``DataLoader``.

        Args:
            ahead: Whether the next iterator has been made: some draw from the generators then.
        """
        source: Any = self.fit.source
        own = source.get_state() if callable(getattr(source, "get_state", None)) else None
        generators = self._generators if ahead else _states_of_generators(source)
        return None if own is None and not generators else {"own": own, "generators": generators}


def loop_state(model: Any, unsaved: Sequence[Any], extra: Any) -> TrainingBlock:
    """Return what is to be saved beside the weights in a loop of the user's own.

    Args:
        model: The model.
        unsaved: The variables that are not saved as weights or optimizer state.
        extra: What the user adds.

    Raises:
        UnpackableError: ``extra`` holds something that a block cannot.
    """
    return TrainingBlock({**_state_of_model(model, unsaved), "randomness": randomness.capture(), "extra": extra})


def _state_of_model(model: Any, unsaved: Sequence[Any]) -> dict[str, Any]:
    return {
        "variables": _tensors(model, unsaved),
        "metrics": _tensors(model, _frameworks.of(model).metrics_variables(model)),
    }


@dataclass(frozen=True)
class _Moment:
    """What validation overwrites."""

    randomness: Mapping[str, Any]
    metrics: list[dict[str, Any]]


def _generators(source: Any) -> list[Any]:
    """Return the generators that a torch ``DataLoader`` or its sampler draws from."""
    sampler = getattr(source, "sampler", None)
    inner = getattr(getattr(source, "batch_sampler", None), "sampler", None)
    found = [getattr(owner, "generator", None) for owner in (source, sampler, inner)]
    return list({id(each): each for each in found if type(each).__module__.partition(".")[0] == "torch"}.values())


def _states_of_generators(source: Any) -> list[Any]:
    return [generator.get_state().numpy() for generator in _generators(source)]


def put_back_source(source: Any, state: Any) -> None:
    """Put a data set back where :class:`Session` found it."""
    if state is None:
        return
    if state["own"] is not None and callable(getattr(source, "set_state", None)):
        source.set_state(state["own"])
    if state["generators"]:
        import torch

        for generator, words in zip(_generators(source), state["generators"], strict=False):
            generator.set_state(torch.from_numpy(words.copy()))


def _tensors(model: Any, variables: Sequence[Any]) -> list[dict[str, Any]]:
    """Return variables as the block takes them: copied when it is filled."""
    framework = _frameworks.of(model)
    return [
        {
            "path": framework.path_of(each),
            "value": Tensor(framework.tensor_of(each), tuple(each.shape), framework.dtype_of(each)),
        }
        for each in variables
    ]


def _arrays(model: Any) -> list[dict[str, Any]]:
    """Return the variables of metrics with the values that they have now."""
    framework = _frameworks.of(model)
    return [
        {"path": framework.path_of(each), "value": framework.to_numpy(each) * 1}
        for each in framework.metrics_variables(model)
    ]

"""Damage: Hypothesis chooses a region of a checkpoint, a place in it, and what happens to it."""

from collections.abc import Mapping
from typing import NamedTuple

from hypothesis import assume
from hypothesis import strategies as st

from scenarios.damage.regions import Anatomy, Region


class Damage(NamedTuple):
    """A damaged checkpoint.

    Attributes:
        kind: What happened to it.
        region: Where, or where it begins.
        files: The files that changed, by the ends of their paths; None for one that is gone.
        told: A pattern that the report has to match; an empty one matches any report.
    """

    kind: str
    region: Region
    files: Mapping[str, bytes | None]
    told: str

    def __repr__(self) -> str:
        """Show what happened, without the files."""
        return f"<{self.kind}: {self.region}>"


@st.composite
def damages(draw: st.DrawFn, whole: Anatomy, other: Anatomy) -> Damage:
    """Damage a checkpoint, any byte of it; ``other`` is one of another step."""
    kind_of_region = draw(st.sampled_from(sorted({region.kind for region in whole.regions})))
    region = draw(st.sampled_from([each for each in whole.regions if each.kind == kind_of_region]))
    content = whole.files[region.file]
    kinds = [*_WITHIN, *_BEYOND, "put in what another step has there"]
    if len(whole.files) > 1:
        kinds += ["take the file of another step"]
        kinds += ["remove the file"] if region.file != ".index" else []  # without its index it is not a checkpoint
    kind = draw(st.sampled_from(kinds))
    told = region.told
    changed: bytes | None
    if kind == "remove the file":
        changed = None
    elif kind == "take the file of another step":
        changed = other.files.get(region.file)
    elif kind in _WITHIN:
        changed = _WITHIN[kind](draw, content, region)
    elif kind in _BEYOND:
        changed, told = _BEYOND[kind](draw, content, region), ""
    else:
        changed = _put_in(draw, content, region, other)
        told = told if changed is not None and len(changed) == len(content) else ""
    if changed is not None and kind not in _WITHIN and region.kind == "record":
        told = ""  # a complete, valid record: what it describes is wrong
    if kind != "remove the file":
        assume(changed is not None and changed != content)
    return Damage(kind, region, {region.file: changed}, told)


def _flip_a_bit(draw: st.DrawFn, content: bytes, region: Region) -> bytes:
    return _change(content, _place(draw, region), 1 << draw(st.integers(0, 7)))


def _change_a_byte(draw: st.DrawFn, content: bytes, region: Region) -> bytes:
    return _change(content, _place(draw, region), draw(st.integers(1, 255)))


def _change(content: bytes, at: int, bits: int) -> bytes:
    return content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :]


def _zero_a_run(draw: st.DrawFn, content: bytes, region: Region) -> bytes:
    start = _place(draw, region)
    stop = draw(st.integers(start + 1, region.stop))
    return content[:start] + bytes(stop - start) + content[stop:]


def _truncate(draw: st.DrawFn, content: bytes, region: Region) -> bytes:
    return content[: _place(draw, region)]


def _zero_the_tail(draw: st.DrawFn, content: bytes, region: Region) -> bytes:
    start = _place(draw, region)
    return content[:start] + bytes(len(content) - start)


def _swap_two_runs(draw: st.DrawFn, content: bytes, region: Region) -> bytes:
    one, two = sorted([_place(draw, region), draw(st.integers(0, len(content) - 1))])
    assume(one < two)
    length = draw(st.integers(1, min(two - one, len(content) - two)))
    between = content[one + length : two]
    return content[:one] + content[two : two + length] + between + content[one : one + length] + content[two + length :]


def _put_in(draw: st.DrawFn, content: bytes, region: Region, other: Anatomy) -> bytes | None:
    """Replace a region by one of its kind from a checkpoint of another step: the one at the same place, if any."""
    alike = [each for each in other.regions if each[:2] == region[:2]]
    same = [each for each in alike if each.start == region.start]
    if not alike:
        return None
    chosen = draw(st.sampled_from(same or alike))
    return content[: region.start] + other.files[region.file][chosen.start : chosen.stop] + content[region.stop :]


def _place(draw: st.DrawFn, region: Region) -> int:
    return draw(st.integers(region.start, region.stop - 1))


_WITHIN = {"flip a bit": _flip_a_bit, "change a byte": _change_a_byte, "zero a run": _zero_a_run}
_BEYOND = {"truncate": _truncate, "zero the tail": _zero_the_tail, "swap two runs": _swap_two_runs}

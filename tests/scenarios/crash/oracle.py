"""Judges an attempt: compares what was acknowledged with what is there."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

TRACED, LAST = 4, 6
"""The epoch of the save that a fault strikes, and the one to which a restart trains."""


class Verdict(IntEnum):
    """A higher verdict is worse."""

    PASS = 0
    LEAK = 1
    """Something half-written is left after training has resumed."""
    LOST_WORK = 2
    """Training continues from an older checkpoint than the newest acknowledged one, or saves no more."""
    FALSE_ACK = 3
    """An acknowledged checkpoint is missing, a visible one does not load, or a failure was not reported."""
    SILENT_DIVERGENCE = 4
    """Training continues with another state than it says, or a file holds the state of another step."""
    HARD_FAIL = 5
    """Nothing restores."""


@dataclass(frozen=True)
class Finding:
    """A verdict, and why.

    Attributes:
        verdict: The verdict.
        reason: Why, in words; empty if it passed.
        struck: Whether the fault kept the save from being acknowledged.
    """

    verdict: Verdict
    reason: str = ""
    struck: bool = False

    def __str__(self):
        return f"{self.verdict.name}: {self.reason}" if self.reason else self.verdict.name


PASS = Finding(Verdict.PASS)


@dataclass(frozen=True)
class Evidence:
    """The events of two processes: the one that the fault struck, and the one that looked at the result and resumed.

    Attributes:
        trained: The first one's events.
        looked: The second one's, by name.
        naming: How the saves are named.
        kept: How many checkpoints should be left at the end; None for all.
    """

    trained: list[Mapping]
    looked: Mapping[str, Mapping]
    naming: str
    kept: int | None

    @property
    def acknowledged(self):
        """The steps whose saves were acknowledged."""
        return {event["step"] for event in self.trained if event["event"] == "acknowledged"}

    @property
    def newest(self):
        """The newest of them; 0 if there is none."""
        return max(self.acknowledged, default=0)

    @property
    def values(self):
        """What was at each checkpoint's path before training resumed: a step, or stock Keras's error."""
        return self.looked["found"]["values"] if "found" in self.looked else {}

    @property
    def good(self):
        """Those that stock Keras loaded."""
        return {name: value for name, value in self.values.items() if isinstance(value, float)}


def judge(evidence, *, survives=False):
    """Return the worst finding.

    Args:
        evidence: The events of the attempt.
        survives: Whether the process had to survive the fault: then the failure has to be reported, and the next save
            has to succeed.
    """
    findings = [PASS, *_restart(evidence), *_files(evidence), *_left(evidence)]
    if survives:
        findings += _life(evidence)
    worst = max(findings, key=lambda finding: finding.verdict)
    return replace(worst, struck=TRACED not in evidence.acknowledged)


def _restart(evidence):
    """Judge what training resumed with."""
    if "left" not in evidence.looked:
        reason = evidence.looked["raised"]["text"] if "raised" in evidence.looked else "its process died"
        verdict = Verdict.FALSE_ACK if evidence.good else Verdict.HARD_FAIL
        return [Finding(verdict, f"the restart failed: {reason}")]
    resumed = evidence.looked.get("resumed", {"step": LAST, "values": [LAST]})  # nothing was left to train
    step = resumed["step"]
    if resumed["values"] != [step]:
        return [Finding(Verdict.SILENT_DIVERGENCE, f"resumed at step {step} with the weights of {resumed['values']}")]
    if evidence.newest and not step:
        return [Finding(Verdict.HARD_FAIL, "the restart started over")]
    if step < evidence.newest:
        return [Finding(Verdict.LOST_WORK, f"resumed from step {step}, and {evidence.newest} was acknowledged")]
    return []


def _files(evidence):
    """Judge what is at checkpoints' paths."""
    for name, value in evidence.values.items():
        if name not in evidence.good:
            yield Finding(Verdict.FALSE_ACK, f"{name}: {value}")
        elif name[:2].isdigit() and value != int(name[:2]):
            yield Finding(Verdict.SILENT_DIVERGENCE, f"{name} holds the state of step {value:g}")
    steps = set(evidence.good.values())
    if evidence.values and max(steps, default=0) < evidence.newest:
        yield Finding(Verdict.FALSE_ACK, f"step {evidence.newest} was acknowledged, and there are {steps}")
    if evidence.values and evidence.naming == "new" and evidence.newest == TRACED and TRACED - 1 not in steps:
        yield Finding(Verdict.FALSE_ACK, f"the checkpoint before the last should have been kept, and there are {steps}")
    for problem in evidence.looked.get("found", {}).get("problems", ()):
        yield Finding(Verdict.FALSE_ACK, f"verify: {problem}")


def _left(evidence):
    """Judge what is in the directory after training has resumed."""
    if "left" not in evidence.looked or evidence.kept is None:
        return
    left = evidence.looked["left"]
    if left["strangers"]:
        yield Finding(Verdict.LEAK, f"left behind: {', '.join(sorted(left['strangers']))}")
    if len(left["values"]) > evidence.kept:
        yield Finding(
            Verdict.LEAK, f"{len(left['values'])} checkpoints are left, where {evidence.kept} were to be kept"
        )


def _life(evidence):
    """Judge a process that had to survive."""
    told = [event["text"] for event in evidence.trained if event["event"] == "told"]
    if not any(event["event"] == "ended" for event in evidence.trained):
        yield Finding(Verdict.LOST_WORK, f"training did not continue: {told}")
    elif TRACED + 1 not in evidence.acknowledged:
        yield Finding(Verdict.LOST_WORK, f"the next save failed, too: {told}")
    if TRACED not in evidence.acknowledged and not told:
        yield Finding(Verdict.FALSE_ACK, "a save failed, and it was not reported")

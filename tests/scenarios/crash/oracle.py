"""What has come of an attempt: what was acknowledged, against what is there."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

TRACED, LAST = 4, 6
"""The epoch of the save that a fault befalls, and the one to which a restart trains."""


class Verdict(IntEnum):
    """The worse, the higher."""

    PASS = 0
    LEAK = 1
    """Something half-written is left when training has gone on."""
    LOST_WORK = 2
    """Training goes on from an older checkpoint than the newest that was acknowledged, or saves no more."""
    FALSE_ACK = 3
    """What was acknowledged is not there, what is there is no checkpoint, or a failure was not told."""
    SILENT_DIVERGENCE = 4
    """Training goes on with another state than it says, or a name stands for another step's state."""
    HARD_FAIL = 5
    """Nothing restores."""


@dataclass(frozen=True)
class Finding:
    """A verdict, and why.

    Attributes:
        verdict: The verdict.
        reason: Why, in words; empty if it has passed.
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
    """What two processes have said: the one that the fault befell, and the one that looked then, and went on.

    Attributes:
        trained: The first one's events.
        looked: The second one's, by name.
        naming: How the saves are named.
        kept: How many checkpoints are to be left at the end; None if all are.
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
        """What was at each checkpoint's path before training went on: a step, or stock Keras's error."""
        return self.looked["found"]["values"] if "found" in self.looked else {}

    @property
    def good(self):
        """Those that stock Keras loaded."""
        return {name: value for name, value in self.values.items() if isinstance(value, float)}


def judge(evidence, *, survives=False):
    """Return the worst finding.

    Args:
        evidence: What there is to go by.
        survives: Whether the process had to live on after the fault: then its failure has to be told, and its next save
            has to succeed.
    """
    findings = [PASS, *_restart(evidence), *_files(evidence), *_left(evidence)]
    if survives:
        findings += _life(evidence)
    worst = max(findings, key=lambda finding: finding.verdict)
    return replace(worst, struck=TRACED not in evidence.acknowledged)


def _restart(evidence):
    """Judge with what training went on."""
    if "left" not in evidence.looked:
        reason = evidence.looked["raised"]["text"] if "raised" in evidence.looked else "its process died"
        verdict = Verdict.FALSE_ACK if evidence.good else Verdict.HARD_FAIL
        return [Finding(verdict, f"the restart failed: {reason}")]
    resumed = evidence.looked.get("resumed", {"step": LAST, "values": [LAST]})  # nothing was left to train
    step = resumed["step"]
    if resumed["values"] != [step]:
        return [Finding(Verdict.SILENT_DIVERGENCE, f"went on at step {step} with the weights of {resumed['values']}")]
    if evidence.newest and not step:
        return [Finding(Verdict.HARD_FAIL, "the restart began anew")]
    if step < evidence.newest:
        return [Finding(Verdict.LOST_WORK, f"went on from step {step}, and {evidence.newest} was acknowledged")]
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
        yield Finding(Verdict.FALSE_ACK, f"the checkpoint before the last was to stay, and there are {steps}")
    for problem in evidence.looked.get("found", {}).get("problems", ()):
        yield Finding(Verdict.FALSE_ACK, f"verify: {problem}")


def _left(evidence):
    """Judge what lies in the directory when training has gone on."""
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
    """Judge a process that had to live on."""
    told = [event["text"] for event in evidence.trained if event["event"] == "told"]
    if not any(event["event"] == "ended" for event in evidence.trained):
        yield Finding(Verdict.LOST_WORK, f"training did not go on: {told}")
    elif TRACED + 1 not in evidence.acknowledged:
        yield Finding(Verdict.LOST_WORK, f"the next save failed, too: {told}")
    if TRACED not in evidence.acknowledged and not told:
        yield Finding(Verdict.FALSE_ACK, "a save failed, and nobody was told")

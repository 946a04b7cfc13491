"""After any fault in a save or in the restart after it, acknowledged saves restore, and nothing half-written is left.

A seeded sample of the matrix; `make crash` tries all of it.
"""

import os
from collections import defaultdict

import pytest

from helpers import sampling
from scenarios.crash.faults import Case
from scenarios.crash.matrix import other_cases, our_cases, tried
from scenarios.crash.oracle import Verdict

MOST = int(os.environ.get("LASTGOOD_CRASH_POINTS", "2"))
SEED = int(os.environ.get("LASTGOOD_CRASH_SEED", "0"))


def _chosen():
    """Return all cases, or some of each fault on torch and some of each other backend, which needs new processes."""
    kinds = defaultdict(list)
    for case in (*our_cases(), *other_cases()):
        kinds[case.fault if case.backend == "torch" else case.backend].append(case)
    return [case for kind in kinds.values() for case in sampling.some_of(kind)]


@pytest.mark.parametrize("case", _chosen(), ids=str)
@pytest.mark.usefixtures("fault_can_be_injected")
def test_acknowledged_saves_restore_after_a_fault(servers, case: Case):
    most = MOST if case.backend == "torch" else 1  # the others need a new process for each
    findings = tried(servers(case.backend), case, most=most, seed=SEED)
    assert findings
    wrong = [f"at {point}: {finding}" for point, finding in findings if finding.verdict is not Verdict.PASS]
    assert not wrong


@pytest.mark.parametrize("case", [Case("power cut", "ModelCheckpoint .keras", "overwrite", disk="XFS")], ids=str)
@pytest.mark.usefixtures("fault_can_be_injected")
def test_the_matrix_finds_what_stock_keras_loses(servers, case):
    """The test can fail: without an fsync, a power cut after the save leaves nothing."""
    findings = tried(servers(case.backend), case, most=None)
    assert findings[-1][1].verdict is Verdict.HARD_FAIL, findings[-1]

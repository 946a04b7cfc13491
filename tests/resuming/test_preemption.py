"""Preemption of several processes: only the thread that trains may save and end."""

from concurrent.futures import ThreadPoolExecutor

from lastgood._resuming.preemption import Preemption


def test_hooks_in_other_threads_do_not_end_the_training():
    notified = []
    preemption = Preemption(lambda: True, lambda: notified.append(1), leaves_last=False)
    assert not preemption.may_be_delivered
    preemption.before_step()
    assert (preemption.name, notified) == ("SIGTERM", [1])
    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(lambda: preemption.may_be_delivered).result()
    assert preemption.may_be_delivered

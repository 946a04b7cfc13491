"""Medians and ratios of medians, with intervals that say how far another run of the benchmark may be from them."""

import numpy as np
from scipy.stats import bootstrap


def middle(values):
    """Return the median, its 95 % interval, the minimum, the maximum and the count of some values."""
    low, high = _interval([values], np.median)
    found = {"median": float(np.median(values)), "low": low, "high": high}
    return {**found, "min": min(values), "max": max(values), "count": len(values)}


def ratio(theirs, ours):
    """Return the median of ``theirs`` divided by that of ``ours``, and the ratio's 95 % interval."""

    def of_medians(theirs, ours, axis=-1):
        return np.median(theirs, axis=axis) / np.median(ours, axis=axis)

    low, high = _interval([theirs, ours], of_medians)
    return {"ratio": float(of_medians(theirs, ours)), "low": low, "high": high}


def line(points):
    """Return the line through the medians of some points, as relative errors see it, and the largest such error.

    Args:
        points: Lists of values, by the number at which they were measured.
    """
    at = np.array([float(each) for each in points])
    medians = np.array([np.median(values) for values in points.values()])
    slope, begin = np.polyfit(at, medians, 1, w=1 / medians)
    errors = np.abs((slope * at + begin) / medians - 1)
    return {"slope": float(slope), "begin": float(begin), "largest error": float(errors.max())}


def _interval(samples, statistic):
    """Return the 95 % interval of a statistic; None and None if a sample has only one value."""
    if min(map(len, samples)) < 2:
        return None, None
    interval = bootstrap(samples, statistic, method="percentile", rng=np.random.default_rng(0)).confidence_interval
    return float(interval.low), float(interval.high)


def summarize(node):
    """Return the results with each list of values replaced by its :func:`middle`."""
    if isinstance(node, list):
        return middle(node)
    return {key: summarize(value) for key, value in node.items()} if isinstance(node, dict) else node

import math

import numpy as np
import pytest

from lastgood import MonitorError
from lastgood._policies.monitor import Direction, Verdict, as_scalar, is_better, judge, resolve_direction

KNOWN = {"auc": "max", "mae": "min", "balanced_acc_error": "min"}


@pytest.mark.parametrize(
    ("monitor", "mode", "wanted"),
    [
        ("val_loss", "min", Direction("min")),
        ("val_loss", "max", Direction("max")),  # the user's mode takes precedence
        ("val_loss", "auto", Direction("min")),
        ("loss", "auto", Direction("min")),
        ("left_loss", "auto", Direction("min")),
        ("acc", "auto", Direction("max")),
        ("val_accuracy", "auto", Direction("max")),
        ("fmeasure", "auto", Direction("max")),
        ("fmeasure_macro", "auto", Direction("max")),
        ("val_fmeasure", "auto", Direction("min", guessed=True)),  # the rule is startswith, literally
        ("val_auc", "auto", Direction("max")),
        ("mae", "auto", Direction("min")),
        ("balanced_acc_error", "auto", Direction("max")),  # the rule takes precedence over the metric's direction
        ("val_unheard_of", "auto", Direction("min", guessed=True)),
    ],
)
def test_direction(monitor, mode, wanted):
    assert resolve_direction(monitor, mode, KNOWN) == wanted


@pytest.mark.parametrize(
    ("current", "best", "mode", "better"),
    [
        (1.0, None, "min", True),
        (1.0, None, "max", True),
        (math.inf, None, "min", True),
        (1.0, 1.0, "min", False),
        (1.0, 1.0, "max", False),
        (0.9, 1.0, "min", True),
        (0.9, 1.0, "max", False),
        (1.1, 1.0, "max", True),
        (math.nan, None, "min", False),
        (math.nan, None, "max", False),
        (math.nan, 1.0, "min", False),
        (1.0, math.nan, "min", True),  # a threshold of NaN does not block saves forever
    ],
)
def test_better_is_strict_and_never_nan(current, best, mode, better):
    assert is_better(current, best, mode) is better


@pytest.mark.parametrize(
    ("logs", "best", "wanted"),
    [
        ({"val_loss": 0.5}, None, (Verdict.IMPROVED, 0.5)),
        ({"val_loss": 0.5}, 0.5, (Verdict.NOT_IMPROVED, 0.5)),
        ({"val_loss": np.array([0.25])}, 0.5, (Verdict.IMPROVED, 0.25)),
        ({"val_loss": None}, 0.5, (Verdict.MISSING, None)),
        ({"loss": 0.5}, 0.5, (Verdict.MISSING, None)),
    ],
)
def test_judge(logs, best, wanted):
    assert judge("val_loss", logs, best, "min") == wanted


@pytest.mark.parametrize("value", [np.zeros(2), [0.1, 0.2], "0.5", {"a": 1}, np.array([])])
def test_a_monitored_value_that_is_not_a_scalar_raises_an_error(value):
    with pytest.raises(ValueError, match="must be a scalar") as caught:
        judge("val_loss", {"val_loss": value}, None, "min")
    assert isinstance(caught.value, MonitorError)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(1, 1.0), (np.float32(0.5), 0.5), (np.array([[2]]), 2.0), ([3], 3.0), ("3", None), (None, None)],
)
def test_as_scalar(value, wanted):
    assert as_scalar(value) == wanted

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastgood._record import Record

RECORD = Record(
    step=12, epoch=3, batch=None, metrics={"loss": 0.5}, format="keras", created=1.5, versions={"keras": "3.15.1"}
)


@given(
    step=st.integers(0, 2**60),
    epoch=st.integers(1, 10**6),
    batch=st.none() | st.integers(1, 10**6),
    metrics=st.dictionaries(st.text(), st.floats()),
)
def test_a_record_survives_its_json(step, epoch, batch, metrics):
    record = Record(step=step, epoch=epoch, batch=batch, metrics=metrics, format="keras", created=0.0)
    copy = Record.from_json(record.to_json())
    assert copy is not None
    assert copy.metrics.keys() == metrics.keys()
    assert all(copy.metrics[k] == v or (math.isnan(v) and math.isnan(copy.metrics[k])) for k, v in metrics.items())
    assert (copy.step, copy.epoch, copy.batch) == (step, epoch, batch)


def test_the_json_is_strict_and_says_its_version():
    text = Record(step=1, epoch=1, batch=2, metrics={"loss": math.nan}, format="keras", created=0.0).to_json()
    assert json.loads(text, parse_constant=pytest.fail)["lastgood"] == 1
    assert json.loads(text)["metrics"] == {"loss": "NaN"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"lastgood": 1}',
        RECORD.to_json().replace('"lastgood": 1', '"lastgood": 2'),
        RECORD.to_json().replace("0.5", "NaN"),
        RECORD.to_json().replace("0.5", '"bad"'),
        RECORD.to_json().replace('"step": 12', '"step": "12"'),
        RECORD.to_json()[:-5],
    ],
)
def test_what_is_no_record_of_a_known_version_is_none(text):
    assert Record.from_json(RECORD.to_json()) == RECORD
    assert Record.from_json(text) is None

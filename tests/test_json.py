"""Untrusted JSON: what lastgood does not accept is a ``ValueError``, and takes little memory."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastgood import _json

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_json_values_round_trip(value):
    assert _json.read(json.dumps(value)) == value
    assert _json.read(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "nested too deep"),
        (b'{"a":' * 600 + b"1" + b"}" * 600, "nested too deep"),
        (b'"' + b"x" * (2 << 20) + b'"', "longer than 1048576 bytes"),
        (b'{"a": 1, "a": 1}', "a key twice"),
        (b'{"a": {"b": 1, "b": 2}}', "a key twice"),
        (b"NaN", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"\xff\xfe[\x00]\x00", "utf-8"),
        (b'"\xed\xa0\x80"', "utf-8"),
        (b"9" * 10_000, "digits|limit"),
        (b"", "Expecting value"),
    ],
)
def test_json_that_is_too_large_ambiguous_or_invalid_is_refused(text, told):
    with pytest.raises(ValueError, match=told):
        _json.read(text)


@pytest.mark.parametrize("text", [b"[" + b"[]," * 600_000 + b"1]", b"[" + b"1," * 2_100_000 + b"1]", b'"",' * 300_000])
def test_json_that_would_take_far_more_memory_than_its_size_is_refused(text):
    with pytest.raises(ValueError, match="too many values"):
        _json.read(text, _json.LONGEST)


@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_json_or_a_value_error(content):
    try:
        value = _json.read(content)
    except ValueError:
        return
    assert value is None or isinstance(value, bool | int | str | list | dict) or math.isfinite(value)

"""Packing values and arrays into one block of bytes, and reading them back."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastgood._bytes.training_block import Tensor, TrainingBlock, UnpackableError, read_block


def _copy(sources, destinations):
    for source, destination in zip(sources, destinations, strict=True):
        destination[...] = source


def _through(tree):
    return read_block(TrainingBlock(tree).to_bytes(_copy))


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(plain)
def test_plain_values_survive_a_round_trip(tree):
    assert _through(tree) == tree


def test_nan_and_infinities_survive_a_round_trip():
    out = _through([math.nan, math.inf, -math.inf])
    assert math.isnan(out[0])
    assert out[1:] == [math.inf, -math.inf]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "uint32", "bool", "complex64"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4)])
def test_arrays_survive_a_round_trip(dtype, shape):
    array = np.arange(math.prod(shape)).astype(dtype).reshape(shape)
    out = _through({"a": array, "b": [array.T]})
    for one, other in ((out["a"], array), (out["b"][0], array.T)):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_numpy_scalars_keep_their_type():
    out = _through(np.float32(0.1))
    assert type(out) is np.float32
    assert out == np.float32(0.1)


def test_equal_arrays_are_stored_once_and_tensors_are_copied_when_the_block_is_written():
    array, live = np.arange(1000), np.zeros(3, np.float32)
    block = TrainingBlock([array, array.copy(), Tensor(live, (3,), "float32")])
    live[:] = 7
    assert block.size < 1.5 * array.nbytes
    out = read_block(block.to_bytes(_copy))
    np.testing.assert_array_equal(out[1], array)
    np.testing.assert_array_equal(out[2], [7, 7, 7])


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ({"a": [object()]}, "/a/0 is of type object"),
        (np.array(["text"]), "an array of type <U4"),
        (np.array([object()]), "an array of type object"),
        ({"f": len}, "/f is of type builtin_function_or_method"),
    ],
)
def test_a_value_that_cannot_be_stored_is_refused_with_its_path(tree, text):
    with pytest.raises(UnpackableError, match=text):
        TrainingBlock(tree)


def test_a_block_reserves_at_least_a_quarter_more_than_its_size():
    for count in (0, 10, 4000, 100_000):
        block = TrainingBlock(np.zeros(count))
        assert block.size * 5 / 4 <= block.capacity


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_a_value_error(content):
    with pytest.raises(ValueError, match=r".*"):
        read_block(content)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"tree": {"$": "array", "index": 9}},
        {"tree": {"$": "nothing"}},
        {"arrays": [{"dtype": "float64", "shape": [2**40], "offset": 0}]},
        {"arrays": [{"dtype": "float64", "shape": [1], "offset": -64}]},
        {"arrays": [{"dtype": "object", "shape": [1], "offset": 0}]},
        {"arrays": 3},
    ],
)
def test_a_block_with_impossible_claims_is_refused(change):
    values = {"version": 1, "tree": {"$": "array", "index": 0}, "arrays": [], **change}
    text = json.dumps(values).encode()
    with pytest.raises(ValueError, match="training state"):
        read_block(len(text).to_bytes(8, "little") + text + bytes(256))

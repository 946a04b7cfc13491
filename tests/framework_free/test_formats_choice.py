import pytest

from lastgood import ArgumentError
from lastgood._formats import choose_format
from lastgood._policies.naming import Template


def _choose(text, weights_only):
    return choose_format(text, Template(text).suffix, weights_only=weights_only).name


@pytest.mark.parametrize(
    ("text", "weights_only", "name"),
    [
        ("m.keras", False, "keras"),
        ("{epoch}-{val_loss:.2f}.weights.h5", True, "weights.h5"),
        ("m.h5", False, "h5"),
        ("m.hdf5", False, "h5"),
        ("m.h5", True, "h5 weights"),
        ("weights.{epoch:02d}-{val_loss:.2f}.hdf5", True, "h5 weights"),
        ("/tmp/checkpoint", True, "orbax directory"),
        ("/tmp/checkpoint", False, "keras directory"),
        ("cp-{epoch:04d}.ckpt", True, "orbax directory"),
        ("{epoch:02d}-{val_loss:.2f}", True, "orbax directory"),
    ],
)
def test_the_ending_chooses(text, weights_only, name):
    assert _choose(text, weights_only) == name


@pytest.mark.parametrize(
    ("text", "weights_only", "says"),
    [
        ("m.weights.h5", False, "save_weights_only=True"),
        ("m.keras", True, ".weights.h5"),
        ("m.kears", False, "Did you mean '.keras'"),
        ("m.hdf", False, "Did you mean '.hdf5'"),
        ("m.safetensors", True, "no format"),
        ("m.weights.json", True, "no format"),
        ("m.pt", True, "no format"),
    ],
)
def test_an_ending_that_cannot_work_is_refused(text, weights_only, says):
    with pytest.raises(ValueError, match="filepath") as caught:
        _choose(text, weights_only)
    assert isinstance(caught.value, ArgumentError)
    assert says in str(caught.value)

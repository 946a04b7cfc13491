"""Loops that train a Keras model with an optimizer of PyTorch's own."""

import numpy as np
import pytest

import lastgood
from helpers.crashing import build
from helpers.kit import keras
from lastgood import ArgumentError

pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch.optim updates PyTorch's variables")


def train(directory, data, steps, *, background="auto"):
    import torch

    keras.utils.set_random_seed(8)
    x, y = data
    model = build()
    model.build((None, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with lastgood.Checkpointer(directory / "{step:03d}.weights.h5", background=background) as checkpointer:
        progress = checkpointer.restore(model)
        if progress:
            optimizer.load_state_dict(progress.extra["optimizer"])
        for step in range(progress.step if progress else 0, steps):
            rows = np.random.choice(len(x), 4, replace=False)
            optimizer.zero_grad()
            loss = (model(x[rows], training=True) - torch.as_tensor(y[rows]).reshape(4, -1)).square().mean()
            loss.backward()
            optimizer.step()
            checkpointer.save(model, step=step + 1, extra={"optimizer": optimizer.state_dict()})
    return model, optimizer.state_dict()


@pytest.mark.parametrize("background", ["auto", True])
def test_a_loop_with_an_optimizer_of_torch_resumes_exactly(tmp_path, data, background):
    whole, expected = train(tmp_path / "whole", data, 9, background=background)
    train(tmp_path / "cut", data, 5, background=background)
    resumed, found = train(tmp_path / "cut", data, 9, background=background)
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert found["param_groups"] == expected["param_groups"]
    for number, state in expected["state"].items():
        for name, value in state.items():
            np.testing.assert_array_equal(found["state"][number][name], value)


def test_tensors_of_every_type_come_back_as_they_were_when_they_were_saved(tmp_path):
    import torch

    names = ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "int64", "uint8", "bool", "complex64"]
    tensors = {name: torch.tensor([0, 1, 1]).to(getattr(torch, name)) for name in names}
    tensors |= {"scalar": torch.tensor(3.5), "empty": torch.zeros(0, 2), "strided": torch.arange(6.0).reshape(2, 3).T}
    tensors["trained"] = torch.ones(2, requires_grad=True)
    expected = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    model = build()
    model.build((None, 4))
    with lastgood.Checkpointer(tmp_path / "{step}.weights.h5", background=True) as checkpointer:
        checkpointer.save(model, step=1, extra=tensors)
        for tensor in tensors.values():
            tensor.detach().zero_()  # the save has its own copy
    extra = lastgood.restore(model, tmp_path / "1.weights.h5").extra
    for name, tensor in expected.items():
        assert extra[name].dtype == tensor.dtype
        assert torch.equal(extra[name], tensor), name


def test_a_tensor_that_no_array_can_hold_is_refused(tmp_path):
    import torch

    model = build()
    model.build((None, 4))
    said = "extra cannot be saved: /extra/a is of type Tensor"
    with (
        lastgood.Checkpointer(tmp_path / "{step}.weights.h5") as checkpointer,
        pytest.raises(ArgumentError, match=said),
    ):
        checkpointer.save(model, step=1, extra={"a": torch.eye(3).to_sparse()})

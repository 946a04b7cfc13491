"""The notebook runs from its first cell to its last."""

import os
from pathlib import Path

import pytest

import lastgood
from helpers.kit import keras

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: see pyproject.toml")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: see pyproject.toml")
pytest.importorskip("ipykernel", reason="ipykernel is not installed: see pyproject.toml")
pytest.importorskip("sklearn", reason="scikit-learn is not installed: see pyproject.toml")
pytestmark = [pytest.mark.any_backend, pytest.mark.long]

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"


def test_the_notebook_trains_and_shows_its_run(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "clear the outputs before you commit"
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env={**os.environ, "KERAS_BACKEND": keras.backend.backend()})
    _, trained, opened, loaded = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert "Epoch 5/5" in "".join(each["text"] for each in trained)
    assert "<iframe" in opened[0]["data"]["text/html"]
    run = lastgood.open_run(tmp_path / "runs/notebook")
    assert str(run.best("val_accuracy").path.relative_to(tmp_path)) in loaded[0]["text"]
    assert [each.epoch for each in run.checkpoints][-2:] == [4, 5]

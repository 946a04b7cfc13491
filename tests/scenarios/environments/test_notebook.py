"""A notebook as Colab and Kaggle run it: a kernel without a terminal, whose cells are interrupted and run again."""

import json

import pytest

CLIENT = pytest.importorskip("jupyter_client", reason="jupyter_client is not installed: see pyproject.toml")
pytest.importorskip("ipykernel", reason="ipykernel is not installed: see pyproject.toml")
PATIENCE = 300  # seconds

SETTING = """
%matplotlib inline
import json, warnings
warnings.simplefilter("error", UserWarning)  # a warning would appear in the notebook
import numpy as np, keras
from lastgood import ModelCheckpoint, open_run
x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")

class Slow(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        import time
        print("a batch", flush=True)
        time.sleep({pause})
"""
# As in a notebook, where everything is in one cell that is run again and again, in one process.
TRAINING = """
keras.utils.set_random_seed(1)
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dropout(0.2), keras.layers.Dense(1)])
model.compile("adam", "mse")
checkpoint = ModelCheckpoint(
    "/{directory}/My Drive/Colab Notebooks/{{epoch:02d}}-{{loss:.3f}}.keras", resume=True, keep_last=2, verbose=1,
    monitor="loss",
)
history = model.fit(x, x[:, :1], batch_size=4, epochs=3, callbacks=[Slow(), checkpoint])
"""
RESULT = """
print(json.dumps([weights.tolist() for weights in model.get_weights()]))
"""
LISTED = """
run = open_run("/{directory}/My Drive/Colab Notebooks")
assert run.verify() == []
loaded = keras.models.load_model(run.checkpoints[-1].path)
print(json.dumps([weights.tolist() for weights in loaded.get_weights()]))
"""


class Notebook:
    """A kernel, and the output of its cells."""

    def __init__(self, manager, client):
        self._manager, self._client = manager, client

    def run(self, code, stop_after=None):
        """Run a cell; return what it printed and the name of its error. Interrupt it after ``stop_after`` lines."""
        said, stopped = [], []

        def hear(message):
            if message["msg_type"] == "stream":
                said.append(message["content"]["text"])
                if stop_after and not stopped and "".join(said).count("a batch") >= stop_after:
                    stopped.append(True)
                    self._manager.interrupt_kernel()

        reply = self._client.execute_interactive(code, output_hook=hear, timeout=PATIENCE)
        return "".join(said), reply["content"].get("ename")


@pytest.fixture
def notebook(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    manager, client = CLIENT.manager.start_new_kernel(startup_timeout=PATIENCE)
    try:
        yield Notebook(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _train(notebook, directory, *, stops=()):
    """Run the cell of a training, interrupt it at each stop, then let it end; return the weights."""
    place = str(directory).lstrip("/")
    said, error = notebook.run(SETTING.format(pause=0.05 if stops else 0))
    assert error is None, said
    for stop in stops:
        said, error = notebook.run(TRAINING.format(directory=place), stop_after=stop)
        assert error == "KeyboardInterrupt", said
        assert notebook.run(LISTED.format(directory=place))[1] is None
    said, error = notebook.run(TRAINING.format(directory=place))
    assert error is None, said
    assert "finished saving" in said
    assert ("resumed from" in said) == bool(stops)
    weights = json.loads(notebook.run(RESULT)[0])
    assert json.loads(notebook.run(LISTED.format(directory=place))[0]) == weights
    return weights


@pytest.mark.long
def test_an_interrupted_notebook_cell_resumes_exactly_when_it_is_run_again(notebook, tmp_path):
    assert _train(notebook, tmp_path / "stopped", stops=(10, 12)) == _train(notebook, tmp_path / "whole")

"""Restarts after the last batch of an epoch that nothing announced as the last: the data just end."""

import numpy as np
import pytest

from helpers.crashing import CrashAt, assert_alike, crash, start
from lastgood import ModelCheckpoint

BATCHES, SIZE = 12, 4
X = np.random.default_rng(0).normal(size=(BATCHES * SIZE, 4)).astype("float32")
Y = (X.sum(1, keepdims=True) > 0).astype("float32")

pytestmark = [
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),
]


class Pairs:
    """Tensors for a loader; torch is imported only where it is needed, since the import takes seconds."""

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        torch = pytest.importorskip("torch")
        return torch.from_numpy(X[i]), torch.from_numpy(Y[i])


def _streamed():
    torch = pytest.importorskip("torch")

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return map(Pairs().__getitem__, range(len(X)))

    return Stream()


def stateful_loader():
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    pytest.importorskip("torch").manual_seed(3)
    return stateful.StatefulDataLoader(Pairs(), batch_size=SIZE, shuffle=True)


def stateful_stream():
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    return stateful.StatefulDataLoader(_streamed(), batch_size=SIZE)


def stream():
    return pytest.importorskip("torch").utils.data.DataLoader(_streamed(), batch_size=SIZE)


def tf_data_of_unknown_length():
    tf = pytest.importorskip("tensorflow")
    signature = (tf.TensorSpec((4,), tf.float32), tf.TensorSpec((1,), tf.float32))
    pairs = tf.data.Dataset.from_generator(lambda: zip(X, Y, strict=True), output_signature=signature)
    return pairs.batch(SIZE, drop_remainder=True)


@pytest.mark.parametrize(
    ("data", "steps"),
    [
        (stateful_loader, 5),
        (stateful_loader, None),
        (stateful_stream, None),
        (stream, None),
        (tf_data_of_unknown_length, None),
    ],
)
@pytest.mark.parametrize("passes", [1, 2])
def test_restart_after_the_last_batch_of_unsized_data_continues_with_the_next_epoch(tmp_path, data, steps, passes):
    def fit(model, callbacks, epochs):
        options = {"epochs": epochs, "steps_per_epoch": steps, "shuffle": False}
        return model.fit(data(), verbose=0, callbacks=callbacks, **options)

    epochs = 9 if steps else 4
    whole = start(fit, [], epochs=epochs, other=False)
    path = tmp_path / "{epoch}-{batch}.keras"
    crash(
        fit,
        [ModelCheckpoint(path, save_freq=3, resume=True, background=False), CrashAt(batch=passes * BATCHES)],
        epochs=epochs,
    )
    assert_alike(start(fit, [ModelCheckpoint(path, save_freq=3, resume=True)], epochs=epochs), whole)

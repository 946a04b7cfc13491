"""Training into a bucket that stops answering for a while: it waits only for the previous save."""

import threading

import pytest

from helpers.crashing import build
from helpers.kit import keras
from lastgood import ModelCheckpoint, open_run
from scenarios.buckets.proxy import Plan

pytestmark = pytest.mark.any_backend

ENDINGS = {".keras": False, ".weights.h5": True}
BATCHES = 10  # per epoch


class Hold(keras.callbacks.Callback):
    """Makes the bucket stop answering at one batch and answer again at the end of an epoch."""

    async_safe = True

    def __init__(self, follow, first, last):
        super().__init__()
        self.follow, self.first, self.last = follow, first, last
        self.held, self.batches, self.was_in_time = threading.Event(), 0, False

    def on_train_batch_begin(self, batch, logs=None):
        self.batches += 1
        if self.batches == self.first:
            self.follow(Plan(hold=self.held))

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 == self.last:
            self.was_in_time = not self.held.is_set()
            self.held.set()


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("options", [{}, {"keep_last": 2, "keep_best": 1, "monitor": "loss"}, {"resume": True}])
def test_no_hook_sends_requests_to_the_bucket(fit, proxied, ending, options):
    """A save in the second epoch cannot be sent before the third has ended: a hook that sent a request would wait."""
    url, follow = proxied
    hold = Hold(follow, first=2 * BATCHES, last=3)
    rescue = threading.Timer(60, hold.held.set)  # a failing test must not hang
    rescue.start()
    path = f"{url}/{{epoch:02d}}{ending}"
    checkpoint = ModelCheckpoint(path, save_freq=2 * BATCHES, save_weights_only=ENDINGS[ending], **options)
    fit(build(), [hold, checkpoint], epochs=4)
    rescue.cancel()
    assert hold.was_in_time
    assert [each.step for each in open_run(url).checkpoints] == [20, 40]
    assert open_run(url).verify() == []

"""Models with several optimizers, built at the first batch, besides one that ``compile`` made and nothing uses."""

import h5py
import numpy as np
import pytest

import lastgood
from helpers.crashing import CrashAt, CrashError
from helpers.kit import TF_KERAS, keras, to_numpy
from lastgood import Checkpointer, ModelCheckpoint

BACKEND = "tensorflow" if TF_KERAS else keras.backend.backend()
X = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
Y = X[:, :1]
in_fit = pytest.mark.skipif(BACKEND == "jax", reason="on jax, fit() carries the state of only one optimizer")
keras_3 = pytest.mark.skipif(TF_KERAS, reason="needs Keras 3")


class Gan(keras.Model):
    """Two networks, each trained by its own optimizer."""

    def __init__(self, **options):
        super().__init__(**options)
        self.generator = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
        self.critic = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(), keras.layers.Dense(1)])

    def compile(self):
        super().compile()
        self.optimizers = {"critic": keras.optimizers.Adam(0.02), "generator": keras.optimizers.Adam(0.01)}

    def call(self, inputs):
        return self.critic(self.generator(inputs))

    def networks(self):
        return [(net, self.optimizers[name]) for name in ("critic", "generator") for net in [getattr(self, name)]]

    def train_step(self, data):
        x, y = data
        for net, optimizer in self.networks():
            loss = self.update(net, optimizer, x, y)
        return {"loss": loss}

    def update(self, net, optimizer, x, y):
        if BACKEND == "torch":
            import torch

            self.zero_grad()
            loss = keras.ops.mean((self(x) - y) ** 2)
            loss.backward()
            with torch.no_grad():
                optimizer.apply([v.value.grad for v in net.trainable_weights], net.trainable_weights)
            return loss
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x) - y) ** 2)
        gradients = tape.gradient(loss, net.trainable_weights)
        optimizer.apply_gradients(zip(gradients, net.trainable_weights, strict=True))
        return loss


class Late(Gan):
    """Trains its generator from the third epoch on; until then it uses no optimizer."""

    def compile(self):
        super().compile()
        self.optimizers = {"generator": keras.optimizers.SGD(0.01)}
        self.trained = False

    def train_step(self, data):
        if self.trained:
            return {"loss": self.update(self.generator, self.optimizers["generator"], *data)}
        return {"loss": 0.0}


def train(callbacks, epochs=4, model=Gan):
    keras.utils.set_random_seed(0)
    made = model()
    made.compile()
    made.fit(X, Y, epochs=epochs, batch_size=8, verbose=0, callbacks=callbacks)
    return made


def interrupted(callback, batch):
    with pytest.raises(CrashError):
        train([callback, CrashAt(batch=batch)])
    callback.wait()


def values(model):
    optimizers = [model.optimizer, *model.optimizers.values()]
    found = [*model.weights, *(variable for optimizer in optimizers for variable in optimizer.variables)]
    return [np.array(to_numpy(each)) for each in found]


def assert_alike(one, other):
    for a, b in zip(values(one), values(other), strict=True):
        np.testing.assert_array_equal(a, b)


def arrays(path):
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and not name.startswith("_lastgood"):
            found[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


@in_fit
def test_the_file_holds_the_state_of_every_optimizer_as_the_stock_file_does(tmp_path):
    stock = keras.callbacks.ModelCheckpoint(tmp_path / "stock.weights.h5", save_weights_only=True)
    if TF_KERAS:
        stock = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda *_: stock.model.save_weights(str(tmp_path / "stock.weights.h5"))
        )
    train([ModelCheckpoint(tmp_path / "ours.weights.h5", save_weights_only=True), stock], epochs=2)
    ours, theirs = arrays(tmp_path / "ours.weights.h5"), arrays(tmp_path / "stock.weights.h5")
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


@in_fit
def test_keep_last_keeps_the_newest_checkpoints_of_a_model_with_several_optimizers(tmp_path, names):
    train([ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True, keep_last=2)])
    assert [name for name in names(tmp_path) if not name.startswith(".")] == ["3.weights.h5", "4.weights.h5"]
    assert [each.step for each in lastgood.open_run(tmp_path).checkpoints] == [12, 16]


@in_fit
@pytest.mark.parametrize("ending", [".weights.h5", ".keras", ".h5", ""])
def test_a_restart_restores_the_state_of_optimizers_that_are_not_built_yet(tmp_path, ending):
    if TF_KERAS and ending in (".keras", ".h5"):
        pytest.skip("there, tf_keras cannot save a complete model of a class without get_config()")
    options = {"save_weights_only": ending != ".keras", "save_freq": 3, "resume": True}

    def callback():
        return ModelCheckpoint(f"{tmp_path}/{{epoch}}-{{batch}}{ending}", **options)

    interrupted(callback(), batch=8)
    resumed = train([callback()])
    assert_alike(resumed, train([]))
    assert [each.step for each in lastgood.open_run(tmp_path).checkpoints] == [3, 6, 9, 12, 15]


@in_fit
@keras_3
def test_verify_resume_counts_batches_and_not_the_steps_of_an_unused_optimizer(capsys):
    lastgood.verify_resume(lambda callbacks: train(callbacks), steps=10, interrupt_after=6)
    assert "10 steps, interrupted after 6, are bit-equal" in capsys.readouterr().out


@in_fit
@keras_3
def test_steps_increase_even_if_an_optimizer_is_first_used_in_a_later_epoch(tmp_path):
    class Begin(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch >= 2 and not self.model.trained:
                self.model.trained = True
                self.model.make_train_function(force=True)

    def callback():
        return ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True, resume=True)

    train([callback(), Begin()], model=Late)
    steps = [each.step for each in lastgood.open_run(tmp_path).checkpoints]
    train([callback(), Begin()], model=Late, epochs=6)
    after = lastgood.open_run(tmp_path).checkpoints
    assert [each.epoch for each in after] == [1, 2, 3, 4, 5, 6]
    assert [each.step for each in after][:4] == steps == sorted(set(steps))
    assert [each.step for each in after] == sorted({each.step for each in after})


@keras_3
def test_a_custom_loop_restores_optimizers_that_its_first_step_builds(tmp_path):
    """On jax, too: the loop passes gradients to the optimizers."""

    def run(steps, directory):
        keras.utils.set_random_seed(0)
        model = Gan()
        model.compile()
        model(X[:1])
        with Checkpointer(directory / "{step}.weights.h5") as checkpointer:
            progress = checkpointer.restore(model)
            for step in range(progress.step + 1 if progress else 1, steps + 1):
                for net, optimizer in model.networks():
                    gradients = [keras.ops.sin(v.value * step) for v in net.trainable_variables]
                    optimizer.apply(gradients, net.trainable_variables)
                checkpointer.save(model, step=step)
        return model

    run(3, tmp_path / "cut")
    assert_alike(run(6, tmp_path / "cut"), run(6, tmp_path / "whole"))

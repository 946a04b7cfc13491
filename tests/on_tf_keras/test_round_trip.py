"""Each format, loaded by stock tf_keras in a process that does not import lastgood."""

import json

import numpy as np
import pytest

from helpers import children
from lastgood import ModelCheckpoint

MODELS, WEIGHTS = ("m.keras", "m.h5", "m.hdf5", "saved"), ("w.weights.h5", "w.h5", "w.hdf5", "w.keras", "w.ckpt", "w")
# Stock tf_keras saves no optimizer with weights alone in HDF5, and does not load that of a SavedModel.
NO_OPTIMIZER = ("w.h5", "w.hdf5", "w.keras", "saved")
LOADER = """
import json, sys
import numpy as np, tf_keras
found = {}
for path, weights_only in json.load(sys.stdin):
    if weights_only:
        layers = [tf_keras.layers.Dense(3, name="a"), tf_keras.layers.Dense(1, activation="sigmoid", name="b")]
        model = tf_keras.Sequential([tf_keras.Input((4,)), *layers], name="small")
        model.compile("adam", "binary_crossentropy")
        model.optimizer.build(model.trainable_variables)
        model.load_weights(path)
    else:
        model = tf_keras.models.load_model(path)
    weights = [array.tolist() for array in model.get_weights()]
    found[path] = weights, [variable.numpy().tolist() for variable in model.optimizer.variables]
assert not [name for name in sys.modules if name.split(".")[0] == "lastgood"]
print(json.dumps(found))
"""


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
def test_stock_tf_keras_loads_every_value_from_each_format(fit, make_model, tmp_path):
    jobs, trained = [], {}
    for names, weights_only in ((MODELS, False), (WEIGHTS, True)):
        for name in names:
            model = make_model()
            fit(model, [ModelCheckpoint(tmp_path / name, save_weights_only=weights_only)])
            trained[str(tmp_path / name)] = model
            jobs.append((str(tmp_path / name), weights_only))
    done = children.run(["-W", "ignore", "-c", LOADER], input=json.dumps(jobs))
    assert done.returncode == 0, done.stderr[-3000:]
    for path, (weights, optimizer) in json.loads(done.stdout.splitlines()[-1]).items():
        model = trained[path]
        for one, other in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, np.array(other, "float32"), err_msg=path)
        if not path.endswith(NO_OPTIMIZER):
            for variable, other in zip(model.optimizer.variables, optimizer, strict=True):
                np.testing.assert_array_equal(variable.numpy(), np.array(other, variable.dtype.name), err_msg=path)

"""Load checkpoints with stock Keras alone, in a process that does not import lastgood.

Reads jobs from stdin, as JSON: ``[{"path", "builder" or null, "result"}, ...]``. Without a builder the path is a
complete model; with one, it is weights for that model of the zoo. Writes each model's state to ``result``
(``.npz``), or, if stock Keras raises an error, the type of that to ``result + ".error"``.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers import zoo


def load(path, builder):
    if builder is None:
        return keras.models.load_model(path, custom_objects=zoo.CUSTOM_OBJECTS)
    keras.utils.set_random_seed(4321)  # other weights than the saved ones
    model, _, _ = zoo.BUILDERS[builder]()
    model.load_weights(path)
    return model


def main():
    for job in json.load(sys.stdin):
        try:
            model = load(job["path"], job["builder"])
        except Exception as error:  # noqa: BLE001 - whatever stock Keras raises is the result
            Path(job["result"] + ".error").write_text(f"{type(error).__name__}: {error}")
            continue
        arrays = zoo.state(model)
        if hasattr(model, "lookup"):
            arrays["vocabulary"] = np.array(model.lookup.get_vocabulary())
        np.savez(job["result"], **arrays)
    strangers = [name for name in sys.modules if name.split(".")[0] == "lastgood"]
    if strangers:
        sys.exit(f"not stock: {strangers}")


main()

"""Takes the pictures of a report that the documents show, of two runs of a small model: `make screenshot`."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
TRAIN = """
import sys
import keras
import numpy as np
from lastgood import ModelCheckpoint

run, epochs, rate, keep_last = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
keras.utils.set_random_seed(0)
x = np.random.default_rng(0).normal(size=(512, 8)).astype("float32")
y = (np.sin(x).sum(axis=1, keepdims=True) > 0).astype("float32")
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(1, "sigmoid")])
model.compile(keras.optimizers.Adam(rate), "binary_crossentropy", metrics=["accuracy"])
checkpoint = ModelCheckpoint(run + "/{epoch:02d}.keras", keep_last=keep_last, keep_best=1, resume=True)
model.fit(x, y, validation_split=0.25, epochs=epochs, callbacks=[checkpoint], verbose=0)
"""
STARTS = (("runs/slow", 12, 0.001, 2), ("runs/slow", 40, 0.001, 2), ("runs/fast", 40, 0.01, 3))
PICTURES = {  # width and height of each, by the runs that it is of
    "report.png": (("runs/slow",), 1000, 1180),
    "comparison.png": (("runs/slow", "runs/fast"), 1000, 1240),
}


def main():
    """Train, report, and take the pictures."""
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        for start in STARTS:
            subprocess.run([sys.executable, "-c", TRAIN, *map(str, start)], cwd=directory, check=True)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (runs, width, height) in PICTURES.items():
            subprocess.run([sys.executable, "-m", "lastgood", "report", *runs], cwd=directory, check=True)
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(Path(directory, "report.html").as_uri())
            page.screenshot(path=HERE / name)
        browser.close()


if __name__ == "__main__":
    main()

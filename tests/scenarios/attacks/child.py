"""Tries hostile files in one process: python child.py DIRECTORY NAME...; prints the result of each, line by line.

Each entrance of lastgood that reads files is tried with each file, after the framework is imported and the model built.
"""

import contextlib
import faulthandler
import io
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path

with contextlib.suppress(ImportError):
    import matplotlib.figure  # noqa: F401 - it makes its own directories, which should not count

sys.path.insert(0, str(Path(__file__).parents[2]))
import lastgood
from lastgood._cli.app import main
from lastgood._report.page import render
from lastgood._run.run import story_of
from scenarios.attacks import corpus
from scenarios.attacks.honest import TF_KERAS, Honest
from scenarios.attacks.referee import Referee


def command(*arguments):
    """Run the command in this process; exit as it would exit, and raise what it would show as a traceback."""
    sys.argv = ["lastgood", *map(str, arguments)]
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            main()
    finally:
        if "\x1b" in out.getvalue() or "\x07" in out.getvalue():
            raise AssertionError(f"it printed control characters to the terminal: {out.getvalue()[:200]!r}")


def entrances(honest, place, attack, path):
    """Yield the name and a call of each entrance; those that change the run come last."""
    opened, template = lastgood.open_run(place.run), place.run / attack.template.replace("*", "".join(path.suffixes))
    only = (
        template.suffix == ".h5"
        or (path.is_dir() and (path / "orbax.checkpoint").exists())
        or attack.template == corpus.GROUP
    )

    def callback(**arguments):
        return lastgood.ModelCheckpoint(template, save_weights_only=only, background=False, **arguments)

    if os.environ["KERAS_BACKEND"] == "jax" or TF_KERAS:  # on other backends, they would do the same
        yield "list", lambda: (opened.checkpoints, opened.latest, opened.best("loss"), opened.listing())
        yield "verify", opened.verify
        yield "report", lambda: story_of(opened)
        yield "ls", lambda: command("ls", place.run)
        if attack.name in ("a_journal_far", "a_journal_formulas"):
            yield "page", lambda: render(story_of(opened))
        if attack.about == "file":
            yield from commands(honest, place, path)
    if attack.about != "run":
        yield "load", lambda: lastgood.load_weights(honest.model, path)
        yield "restore", lambda: lastgood.restore(honest.model, path)
    if attack.about != "training":
        yield "restart", lambda: honest.fit(callback(load_weights_on_restart=True, save_freq=10**6))
    yield "pin", lambda: opened.pin(path)
    yield "prune", lambda: opened.prune(keep_last=1, monitor="loss")
    yield "resume", lambda: honest.fit(callback(resume=True, keep_last=5, monitor="loss"), epochs=2)


def commands(honest, place, path):
    """Yield the entrances that read a single file."""
    yield "show", lambda: command("show", path)
    yield "verify it", lambda: command("verify", path)
    yield "diff", lambda: command("diff", path, honest.archive)
    yield "export", lambda: command("export", path, "--to", place.run.parent / "export" / "e.weights.h5")


def try_all(base, names):
    """Yield the result of each attack at each entrance."""
    honest, referee = Honest(base / "honest"), Referee()
    honest.fit(
        lastgood.ModelCheckpoint(honest.directory / "w" / "{epoch}.keras", resume=True)
    )  # so that everything is compiled
    honest.fit(lastgood.ModelCheckpoint(honest.directory / "w" / "{epoch}.keras", resume=True), epochs=2)
    assert honest.archive.exists()  # it is made at first access
    for i, name in enumerate(names):
        attack = corpus.ATTACKS[name]
        around = base / str(i)
        place = corpus.Place(around / "run", around / "outside", honest)
        for directory in (place.run, place.outside, around / "export"):
            directory.mkdir(parents=True)
        path = attack.build(place)
        for entrance, call in entrances(honest, place, attack, path):
            faulthandler.dump_traceback_later(30, exit=True)  # for a call that even a signal does not end
            inside = (place.run, around / "export", tempfile.gettempdir())
            told = referee.watch(call, inside, around)
            faulthandler.cancel_dump_traceback_later()
            yield {"attack": name, "entrance": entrance, **told}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what training prints goes to standard error
    for answer in try_all(Path(sys.argv[1]), sys.argv[2:]):
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

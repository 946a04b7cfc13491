"""The progress bar for what is still to be written when training has ended."""

from ._checkpointer import Save, Saver

_PATIENCE_SECONDS = 1.0
_REFRESH_SECONDS = 0.1


def show_progress(saver: Saver, *, enabled: bool) -> None:
    """Show a bar, in a terminal or a notebook, until the saves under way have ended, if that takes over a second."""
    save = saver.under_way
    if not enabled or save is None or save.wait(_PATIENCE_SECONDS):
        return
    _show(save)


def _show(save: Save) -> None:
    from rich import progress  # here, because few trainings come to this

    columns = (
        progress.TextColumn("saving {task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns) as bar:
        task = bar.add_task(save.path, total=save.size or None)
        while not save.wait(_REFRESH_SECONDS):
            bar.update(task, completed=save.written)
        bar.update(task, completed=save.written)

"""The progress bar for a save that is still being written when training ends."""

from pathlib import Path
from typing import TYPE_CHECKING

from .._saving import Save

if TYPE_CHECKING:
    from rich.console import Console

_PATIENCE_SECONDS = 1.0
_REFRESH_SECONDS = 0.1


def show_progress(save: Save | None, *, enabled: bool) -> None:
    """Show a bar until a save has ended, if that takes over a second.

    Files and pipes get no bar, since it is drawn many times.

    Args:
        save: The save; None if all have ended.
        enabled: Whether to show it on a terminal; a notebook always shows it, to explain why the cell is still running.
    """
    if save is None or save.wait(_PATIENCE_SECONDS):
        return
    from rich.console import Console  # here, because few trainings need it

    console = Console()
    if console.is_jupyter or (enabled and console.is_terminal):
        _show(save, console)


def _show(save: Save, console: "Console") -> None:
    from rich import progress

    columns = (
        progress.TextColumn("saving {task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console) as bar:
        task = bar.add_task(Path(save.path).name, total=save.size or None)
        while not save.wait(_REFRESH_SECONDS):
            bar.update(task, completed=save.written)
        bar.update(task, completed=save.written if save.error else save.size or save.written)

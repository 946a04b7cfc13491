"""Processes that each write files to the stage of the chief's save, while training continues.

    chief   accepts all, tells each where to write    writes its own files, waits for each of the others -> all files
    other   connects, waits to be told where          writes its files, says so after each part ----------> its files

A process that writes nothing for the time limit fails the save, and one that ends fails it at once.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from .._errors import GroupError
from .receiver import Invitation, Receiver, connect, read_message, write_message

Files = dict[str, tuple[int, int]]
"""The length in bytes and the digest of each file, by name."""

_BUSY = "busy"


@contextmanager
def led(receiver: Receiver, admission: Any) -> Iterator[Callable[[], Files]]:
    """Let the other processes write; yield a function that waits until all have, and returns their files.

    Args:
        receiver: The receiver that they connect to.
        admission: What they need to write to the stage; JSON can hold it.

    Raises:
        GroupError: One of them has not connected; in the function: one has failed, or has written nothing for too long.
    """
    with ExitStack() as stack:
        there: dict[int, socket.socket] = {}
        for said, connection in receiver.admitted():
            there[said["rank"]] = stack.enter_context(connection)
            with receiver.explaining(said["rank"]):
                write_message(connection, admission)

        def wait() -> Files:
            files: Files = {}
            for rank, connection in there.items():
                with receiver.explaining(rank):
                    files |= _files_of(connection)
            return files

        yield wait


def _files_of(connection: socket.socket) -> Files:
    said = read_message(connection)
    while said == _BUSY:
        said = read_message(connection)
    if "failed" in said:
        raise GroupError(said["failed"])
    return {name: (int(length), int(digest)) for name, (length, digest) in said["files"].items()}


def write_along(
    host: str, invitation: Invitation, rank: int, seconds: float, write: Callable[[Any, Callable[[], None]], Files]
) -> None:
    """Write this process's files to the stage of the chief's save.

    Args:
        host: The host of the chief.
        invitation: The chief's invitation.
        rank: The rank of this process.
        seconds: How long to wait for the chief, which may be busy with other processes.
        write: Writes the files and returns them; is given what the chief told, and what to call after each part.

    Raises:
        OSError: The chief is not there.
    """
    with connect(host, invitation, {"rank": rank}, seconds) as connection:
        admission = read_message(connection)
        try:
            files = write(admission, lambda: write_message(connection, _BUSY))
        except Exception as error:
            text = f"Process {rank}, on {socket.gethostname()}, has failed: {type(error).__name__}: {error}"
            write_message(connection, {"failed": text})
            raise
        write_message(connection, {"files": files})

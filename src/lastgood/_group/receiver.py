"""Parts of arrays that other processes send to the chief while training continues.

    other   connects, sends the token, a list of its parts (positions, digests), and their bytes
    chief   reads each part into its place in memory, and verifies its digest

The connection is separate, so training traffic never waits for it. Like gradients, the bytes are not encrypted.
The token, which is sent through the backend's own service, keeps everyone else out.
"""

import hmac
import json
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from .._errors import GroupError

_TOKEN = 32
_LENGTH = 8
_LONGEST = 64 << 20
_SECONDS_FOR_TOKEN = 10.0


class Invitation(NamedTuple):
    """The port where the chief receives parts, and the token that admits a process."""

    port: int
    token: str


class Sent(NamedTuple):
    """A part of an array, as a process sends it.

    Attributes:
        number: The index of the array.
        starts: Where the part begins in the array, along each axis.
        memory: Its values, contiguous.
    """

    number: int
    starts: tuple[int, ...]
    memory: npt.NDArray[Any]


class Receiver:
    """The chief's receiver for the other processes' parts of one save.

    Attributes:
        invitation: What the others need to connect.
    """

    def __init__(self, senders: Sequence[int], seconds: float) -> None:
        """Start listening.

        Args:
            senders: The ranks of the other processes.
            seconds: How long to wait for a process that sends nothing.
        """
        self._waiting = set(senders)
        self._seconds = seconds
        self._server = _listening()
        self._server.listen(len(self._waiting) + 8)
        self._token = secrets.token_bytes(_TOKEN)
        self.invitation = Invitation(self._server.getsockname()[1], self._token.hex())

    def receive(self, places: Sequence[npt.NDArray[Any]], expected: int) -> None:
        """Receive all parts into their places, and stop listening.

        Args:
            places: The memory of each whole array.
            expected: The total bytes that the other processes hold.

        Raises:
            GroupError: A process does not send its parts, or they are not the missing ones.
        """
        got = 0
        for said, connection in self.admitted():
            with connection, self.explaining(said["rank"]):
                got += sum(_take_part(connection, places, *each) for each in said["parts"])
        if got != expected:
            raise GroupError(
                f"The other processes have sent {got} bytes of the model's state, but should hold {expected}. "
                "Build the same model in each process."
            )

    def admitted(self) -> Iterator[tuple[dict[str, Any], socket.socket]]:
        """Yield the connection of each process, with what it said first, which includes its rank; then stop listening.

        Raises:
            GroupError: A process has not connected in time.
        """
        with self._server:
            until = time.monotonic() + self._seconds
            while self._waiting:
                connection = self._accepted(until)
                said = self._greeting(connection)
                if said is None:
                    connection.close()
                    continue
                yield said, connection
                until = time.monotonic() + self._seconds

    def _greeting(self, connection: socket.socket) -> dict[str, Any] | None:
        """Return what a process says first; None if it was not invited."""
        if not self._is_invited(connection):
            return None
        connection.settimeout(self._seconds)
        with self.explaining(*sorted(self._waiting)):
            said = read_message(connection)
            self._waiting.remove(said["rank"])
            return dict(said)

    @contextmanager
    def explaining(self, *ranks: int) -> Iterator[None]:
        """Raise a GroupError if what a process sends in the block cannot be used.

        Args:
            *ranks: The processes that may have sent it.
        """
        try:
            yield
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise GroupError(f"{self._missing(*ranks)} The data received cannot be used: {error}.") from error

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    def _accepted(self, until: float) -> socket.socket:
        self._server.settimeout(max(0.001, until - time.monotonic()))
        try:
            return self._server.accept()[0]
        except TimeoutError:
            raise self._missing() from None

    def _missing(self, *ranks: int) -> GroupError:
        these = ", ".join(map(str, ranks or sorted(self._waiting)))
        return GroupError(
            f"Process {these} has not sent its part of the model's state for {self._seconds:g} s. Check its output, "
            f"and that it can reach this machine, {socket.gethostname()}, on any port."
        )

    def _is_invited(self, connection: socket.socket) -> bool:
        """Return True if the connecting process sends the token."""
        connection.settimeout(_SECONDS_FOR_TOKEN)
        try:
            return hmac.compare_digest(bytes(_received(connection, _TOKEN)), self._token)
        except OSError:
            return False


def send(host: str, invitation: Invitation, rank: int, parts: Sequence[Sent], seconds: float) -> None:
    """Send this process's parts to the chief, which may be busy with those of others.

    Args:
        host: The host of the chief.
        invitation: The chief's invitation.
        rank: The rank of this process.
        parts: The parts to send.
        seconds: How long to wait while the chief accepts nothing.

    Raises:
        OSError: The chief does not accept them.
    """
    memories = [each.memory.reshape(-1).view(np.uint8) for each in parts]
    said = [
        (each.number, each.starts, each.memory.shape, isal_zlib.crc32(memory))
        for each, memory in zip(parts, memories, strict=True)
    ]
    with connect(host, invitation, {"rank": rank, "parts": said}, seconds) as connection:
        for memory in memories:
            connection.sendall(memory.data)


def connect(host: str, invitation: Invitation, greeting: dict[str, Any], seconds: float) -> socket.socket:
    """Connect to the chief, and say something first, which includes the rank.

    Raises:
        ConnectionError: The chief cannot be reached.
        OSError: It does not accept what is sent.
    """
    try:
        connection = socket.create_connection((host, invitation.port), timeout=seconds)
    except OSError as error:  # there are many kinds, such as an unknown host
        raise ConnectionError(str(error)) from error
    try:
        connection.sendall(bytes.fromhex(invitation.token))
        write_message(connection, greeting)
    except BaseException:
        connection.close()
        raise
    return connection


def write_message(connection: socket.socket, value: Any) -> None:
    """Send a value that JSON can hold.

    Raises:
        OSError: The other process does not accept it.
    """
    text = json.dumps(value).encode()
    connection.sendall(len(text).to_bytes(_LENGTH, "big") + text)


def read_message(connection: socket.socket) -> Any:
    """Return the next value that the other process sends.

    Raises:
        OSError: It sends none.
        ValueError: It sends something else.
    """
    length = int.from_bytes(_received(connection, _LENGTH), "big")
    return json.loads(_received(connection, min(length, _LONGEST)))


def _listening() -> socket.socket:
    """Return a socket that other machines can reach, by each IP version that this one supports."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _take_part(
    connection: socket.socket,
    places: Sequence[npt.NDArray[Any]],
    number: int,
    starts: Sequence[int],
    shape: Sequence[int],
    crc: int,
) -> int:
    place = places[number][tuple(slice(start, start + length) for start, length in zip(starts, shape, strict=True))]
    if place.shape != tuple(shape):
        raise ValueError(f"a part of shape {tuple(shape)} does not fit into an array of shape {places[number].shape}")
    memory = place if place.flags.c_contiguous else np.empty(place.shape, place.dtype)
    content = memory.reshape(-1).view(np.uint8)
    _receive_into(connection, content.data)
    if isal_zlib.crc32(content) != crc:
        raise ValueError("the digest of a part does not match")
    if memory is not place:
        np.copyto(place, memory)
    return place.nbytes


def _received(connection: socket.socket, length: int) -> bytearray:
    content = bytearray(length)
    _receive_into(connection, memoryview(content))
    return content


def _receive_into(connection: socket.socket, content: memoryview) -> None:
    """Fill memory with received bytes.

    Raises:
        ConnectionError: The connection ends too early.
    """
    at = 0
    while at < len(content):
        count = connection.recv_into(content[at:])
        if not count:
            raise ConnectionError("the connection has ended")
        at += count

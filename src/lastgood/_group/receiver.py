"""Parts of arrays, which other processes send to the chief while training goes on.

    other   connects, sends the token, a list of its parts (where they go, their digests), and their bytes
    chief   takes each to its place in memory, and checks that it is what was sent

It is a connection of its own: what training sends waits for nothing here. Like gradients, the bytes are not encrypted.
The token, which goes through the backend's own service, keeps everybody else out.
"""

import hmac
import json
import secrets
import socket
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from .._errors import GroupError

_TOKEN = 32
_LENGTH = 8
_LONGEST_LIST = 64 << 20
_SECONDS_FOR_TOKEN = 10.0


class Invitation(NamedTuple):
    """Where the chief waits for parts, and what lets a process in."""

    port: int
    token: str


class Sent(NamedTuple):
    """A part as a process sends it.

    Attributes:
        number: Which of the arrays it is a part of.
        starts: Where it begins in it, along each axis.
        memory: Its values, contiguous.
    """

    number: int
    starts: tuple[int, ...]
    memory: npt.NDArray[Any]


class Receiver:
    """Waits, at the chief, for what the others have of one save.

    Attributes:
        invitation: What the others have to know.
    """

    def __init__(self, senders: Sequence[int], seconds: float) -> None:
        """Begin to listen.

        Args:
            senders: The ranks of the others.
            seconds: How long to wait for one that sends nothing.
        """
        self._waiting = set(senders)
        self._seconds = seconds
        self._server = _listening()
        self._server.listen(len(self._waiting) + 8)
        self._token = secrets.token_bytes(_TOKEN)
        self.invitation = Invitation(self._server.getsockname()[1], self._token.hex())

    def receive(self, places: Sequence[npt.NDArray[Any]], expected: int) -> None:
        """Take what all others send to its places, and stop listening.

        Args:
            places: Memory of each of the arrays, whole.
            expected: How many bytes of them the others have.

        Raises:
            GroupError: One does not send its parts, or they are not what is missing here.
        """
        with self._server:
            got, until = 0, time.monotonic() + self._seconds
            while self._waiting:
                connection = self._accepted(until)
                with connection:
                    if self._is_invited(connection):
                        got += self._take(connection, places)
                        until = time.monotonic() + self._seconds
        if got != expected:
            raise GroupError(
                f"The other processes have sent {got} bytes of the model's state, and {expected} are split among them. "
                "Build the same model in each process."
            )

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    def _accepted(self, until: float) -> socket.socket:
        self._server.settimeout(max(0.001, until - time.monotonic()))
        try:
            return self._server.accept()[0]
        except TimeoutError:
            raise self._missing() from None

    def _missing(self) -> GroupError:
        ranks = ", ".join(map(str, sorted(self._waiting)))
        return GroupError(
            f"Process {ranks} has not sent its part of the model's state for {self._seconds:g} s. Look at what it has "
            f"printed, and whether it reaches this machine, {socket.gethostname()}, at any port."
        )

    def _is_invited(self, connection: socket.socket) -> bool:
        """Return True if whoever has connected knows the token."""
        connection.settimeout(_SECONDS_FOR_TOKEN)
        try:
            return hmac.compare_digest(bytes(_received(connection, _TOKEN)), self._token)
        except OSError:
            return False

    def _take(self, connection: socket.socket, places: Sequence[npt.NDArray[Any]]) -> int:
        """Take what one process sends; return how many bytes of the arrays that is."""
        connection.settimeout(self._seconds)
        try:
            length = int.from_bytes(_received(connection, _LENGTH), "big")
            said = json.loads(_received(connection, min(length, _LONGEST_LIST)))
            taken = sum(_take_part(connection, places, *each) for each in said["parts"])
            self._waiting.remove(said["rank"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise GroupError(f"{self._missing()} What came cannot be used: {error}.") from error
        return taken


def send(host: str, invitation: Invitation, rank: int, parts: Sequence[Sent], seconds: float) -> None:
    """Send this process's parts to the chief, who may be busy with those of others.

    Args:
        host: The chief's.
        invitation: What the chief has told.
        rank: Which process this is.
        parts: What to send.
        seconds: How long to wait while nothing of it is taken.

    Raises:
        OSError: The chief does not take them.
    """
    memories = [each.memory.reshape(-1).view(np.uint8) for each in parts]
    said = [
        (each.number, each.starts, each.memory.shape, isal_zlib.crc32(memory))
        for each, memory in zip(parts, memories, strict=True)
    ]
    text = json.dumps({"rank": rank, "parts": said}).encode()
    with socket.create_connection((host, invitation.port), timeout=seconds) as connection:
        connection.sendall(bytes.fromhex(invitation.token) + len(text).to_bytes(_LENGTH, "big") + text)
        for memory in memories:
            connection.sendall(memory.data)


def _listening() -> socket.socket:
    """Return a socket that other machines reach, by each version of the protocol that this one has."""
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
        raise ValueError(f"a part of {tuple(shape)} does not lie in an array of {places[number].shape}")
    memory = place if place.flags.c_contiguous else np.empty(place.shape, place.dtype)
    content = memory.reshape(-1).view(np.uint8)
    _receive_into(connection, content.data)
    if isal_zlib.crc32(content) != crc:
        raise ValueError("it is not what was sent")
    if memory is not place:
        np.copyto(place, memory)
    return place.nbytes


def _received(connection: socket.socket, length: int) -> bytearray:
    content = bytearray(length)
    _receive_into(connection, memoryview(content))
    return content


def _receive_into(connection: socket.socket, content: memoryview) -> None:
    """Fill memory with what comes.

    Raises:
        ConnectionError: Less comes.
    """
    at = 0
    while at < len(content):
        count = connection.recv_into(content[at:])
        if not count:
            raise ConnectionError("the connection has ended")
        at += count

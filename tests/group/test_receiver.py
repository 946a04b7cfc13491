"""Parts of arrays that other processes send, over real connections on loopback."""

import contextlib
import json
import socket
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lastgood import GroupError
from lastgood._group import Receiver, Sent, send


def sending(receiver, rank, parts, seconds=10):
    return threading.Thread(target=send, args=("127.0.0.1", receiver.invitation, rank, parts, seconds))


def raw(receiver, content):
    """Send bytes as a stranger might, and wait until they are accepted or refused."""
    with socket.create_connection(("127.0.0.1", receiver.invitation.port), timeout=10) as connection:
        connection.sendall(content)
        with contextlib.suppress(OSError):  # refused before the end
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)


def framed(receiver, said, content=b""):
    text = json.dumps(said).encode()
    return bytes.fromhex(receiver.invitation.token) + len(text).to_bytes(8, "big") + text + content


def test_the_parts_of_all_processes_are_put_in_their_places():
    whole = np.arange(48, dtype="float32").reshape(6, 8)
    place, other = np.full((6, 8), -1, "float32"), np.zeros(3, "uint16")
    place[:, :4] = whole[:, :4]
    receiver = Receiver([1, 2], 10)
    threads = [
        sending(receiver, 1, [Sent(0, (0, 4), np.ascontiguousarray(whole[:4, 4:]))]),
        sending(receiver, 2, [Sent(0, (4, 4), np.ascontiguousarray(whole[4:, 4:])), Sent(1, (1,), np.uint16([7, 9]))]),
    ]
    for thread in threads:
        thread.start()
    receiver.receive([place, other], 96 + 4)
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(place, whole)
    np.testing.assert_array_equal(other, [0, 7, 9])


def test_a_process_that_sends_nothing_is_named():
    receiver = Receiver([1, 2], 0.5)
    thread = sending(receiver, 2, [])
    thread.start()
    with pytest.raises(GroupError, match=r"Process 1 has not sent its part of the model's state for 0\.5 s"):
        receiver.receive([], 0)
    thread.join()


def test_a_sender_without_the_token_is_ignored():
    receiver = Receiver([1], 10)
    place = np.zeros(4, "uint8")
    with ThreadPoolExecutor(2) as pool:
        taken = pool.submit(receiver.receive, [place], 0)
        raw(receiver, bytes(32) + framed(receiver, {"rank": 1, "parts": [[0, [0], [4], 0]]})[32:] + b"evil")
        raw(receiver, b"GET / HTTP/1.1\r\n\r\n")
        send("127.0.0.1", receiver.invitation, 1, [], 10)
        taken.result()
    assert not place.any()


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ([0, [0], [4], zlib.crc32(b"good")], b"evil"),
        ([0, [0], [4], zlib.crc32(b"good")], b"go"),
        ([0, [2], [4], zlib.crc32(b"good")], b"good"),
        ([0, [0, 0], [4, 1], zlib.crc32(b"good")], b"good"),
        ([3, [0], [4], zlib.crc32(b"good")], b"good"),
    ],
    ids=["changed", "cut off", "beyond the end", "of other axes", "of no array"],
)
def test_an_invalid_part_fails_the_save(part, content):
    receiver = Receiver([1], 10)
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(receiver.receive, [np.zeros(4, "uint8")], 4)
        raw(receiver, framed(receiver, {"rank": 1, "parts": [part]}, content))
        with pytest.raises(GroupError, match="Process 1 has not sent its part"):
            taken.result()


def test_too_few_bytes_fail_the_save():
    receiver = Receiver([1], 10)
    thread = sending(receiver, 1, [Sent(0, (0,), np.zeros(3, "uint8"))])
    thread.start()
    with pytest.raises(GroupError, match="have sent 3 bytes of the model's state, but should hold 4"):
        receiver.receive([np.zeros(4, "uint8")], 4)
    thread.join()

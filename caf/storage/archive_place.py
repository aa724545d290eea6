"""What an archive must be able to do, wherever it is: a file system or a server."""

import os
import re
import secrets
import zlib
from collections.abc import Generator
from typing import Protocol, TypeVar

from caf.storage.failures import storage_error

T = TypeVar("T", covariant=True)
Steps = Generator[None, None, T]
"""Work in steps of at most a second or so."""

PARTIAL = re.compile(r"\.caf-[0-9a-f]{8}\.part")
"""How a file is called until it is whole and compared. One of ours that is found was left by an interruption."""


def partial_name() -> str:
    """Give a name that no other copy uses, not even one of a process that hangs and cannot be killed."""
    return f".caf-{secrets.token_hex(4)}.part"


CHUNK = 1 << 20  # bytes between two looks at the clock


def piece_of(source: int) -> bytes:
    """Read on in an open file of the area."""
    try:
        return os.read(source, CHUNK)
    except OSError as error:
        raise storage_error("read", os.readlink(f"/proc/self/fd/{source}"), error) from error


def adler32(descriptor: int) -> Steps[int]:
    """Give the sum of an open file from where it stands to its end."""
    value = 1
    while piece := piece_of(descriptor):
        value = zlib.adler32(piece, value)
        yield
    return value


class Place(Protocol):
    """The folder of one attempt in an archive. Names are relative to it. StorageError says what is refused."""

    def __str__(self) -> str:
        """Give its path or URL."""

    def stored(self, name: str) -> str:
        """Give the name that a file of the area gets there."""

    def begin(self) -> Steps[None]:
        """Make sure that it can be used, and remove what an interruption has left."""

    def size(self, name: str) -> Steps[int | None]:
        """Give a file's size, None if it is not there."""

    def checksum(self, name: str) -> Steps[int]:
        """Give a file's adler32, of what lies there."""

    def put(self, source: int, name: str, status: os.stat_result) -> Steps[tuple[str, int]]:
        """Copy an open file beside where it belongs; gives the name there and the adler32 of what was read."""

    def rename(self, partial: str, name: str) -> Steps[None]:
        """Give a copy its name, in place of what may be there."""

    def remove(self, name: str) -> Steps[None]:
        """Remove a copy, if that can be done."""

    def read(self, name: str) -> Steps[bytes | None]:
        """Give a small file, None if it is not there."""

    def write(self, name: str, data: bytes) -> Steps[None]:
        """Put a small file there, whole or not at all."""

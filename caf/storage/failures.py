"""What the operating system says of files, as errors that an operator understands."""

import errno
import os
import stat
from typing import BinaryIO

from caf.domain.errors import StorageError

PASSING = frozenset(
    getattr(errno, name)
    for name in ("EAGAIN", "EBUSY", "EDQUOT", "EHOSTDOWN", "EINTR", "EIO", "ENOSPC", "ENOTCONN", "ESTALE", "ETIMEDOUT")
)
"""Errors that may be gone at the next try without a person's doing: full disks, and servers that hiccup."""
LONGEST_PATH = 600  # characters of one in a message


def storage_error(doing: str, path: str, error: OSError) -> StorageError:
    """Make a StorageError "cannot <doing> <path>: <why>"; transient where another try may succeed."""
    failure = StorageError(f"cannot {doing} {readable(path)}: {error.strerror or error}")
    failure.transient = error.errno in PASSING
    return failure


def readable(path: str) -> str:
    """Give a path as text that can be stored and shown: names of files need not be text, and paths have no end."""
    shown = path.encode("utf-8", "backslashreplace").decode("utf-8")
    return shown if len(shown) <= LONGEST_PATH else f"{shown[: LONGEST_PATH // 2]} ... {shown[-LONGEST_PATH // 2 :]}"


def open_regular(path: str) -> BinaryIO | None:
    """Open a regular file for reading; None if there is none. A pipe that somebody put there cannot block it."""
    opened = _open(path)
    return None if opened is None else os.fdopen(opened[0], "rb")


def read_regular(path: str, longest: int) -> tuple[os.stat_result, bytes] | None:
    """Give status and content, `longest` bytes of it at most, of a small regular file; None if there is none."""
    opened = _open(path)
    if opened is None:
        return None
    descriptor, status = opened
    try:
        data = b""
        while len(data) < longest and (piece := os.read(descriptor, longest - len(data))):
            data += piece
        return status, data
    finally:
        os.close(descriptor)


def _open(path: str) -> tuple[int, os.stat_result] | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link to itself, a socket: no regular file
            return None
        raise
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode):
        return descriptor, status
    os.close(descriptor)
    return None

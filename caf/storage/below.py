"""Going down a tree of files by its folders' descriptors: no link is followed, and no mount is entered.

A path could lead elsewhere by the time it is used; a descriptor leads where it led when it was opened.
"""

import errno
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from caf.domain.errors import StorageError
from caf.storage.failures import readable, storage_error

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def opened_folder(path: str) -> Iterator[int]:
    """Open the folder that everything starts from; links on the way to it are the administrator's, and followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise storage_error("open", path, error) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def entered(parent: int, name: str, path: str) -> Iterator[int | None]:
    """Open a folder within another one; None if it is not there.

    StorageError if it is a link, no folder, or another file system is mounted there. `path` is for the message.
    """
    try:
        descriptor = os.open(name, FOLDER, dir_fd=parent)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise StorageError(f"{path} is a link or no folder: nothing is removed there; look who made it") from error
        raise storage_error("open", path, error) from error
    try:
        if mount_of(descriptor) != mount_of(parent):
            raise mounted(path)
        yield descriptor
    finally:
        os.close(descriptor)


def mount_of(descriptor: int) -> tuple[int, str]:
    """Give what tells the mount of an open folder: device, and the kernel's number of the mount.

    A folder that is mounted a second time (a bind mount) has the same device; only the number differs.
    """
    device = os.fstat(descriptor).st_dev
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", "rb", buffering=0) as file:
            for line in file.read(4096).splitlines():
                if line.startswith(b"mnt_id:"):
                    return device, line[7:].strip().decode("ascii")
    except FileNotFoundError:  # no /proc: the device alone must do
        pass
    return device, ""


def mounted(path: str) -> StorageError:
    """Say that something is mounted within an area."""
    return StorageError(
        f"{readable(path)} is on another file system that is mounted there: nothing beyond it is touched: umount"
    )


@contextmanager
def room_for_depth() -> Iterator[None]:
    """Let as many folders be open at a time as the system allows: a payload's tree may be deeper than the usual 1024.

    Only for as long as no other program is started: some close all that they might have inherited, one by one.
    """
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, before)


def read_small(parent: int, name: str, longest: int) -> bytes | None:
    """Give a small regular file of a folder; None if there is no such file. A pipe cannot block it."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link, a socket
            return None
        raise
    with open(descriptor, "rb") as file:
        return file.read(longest) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None

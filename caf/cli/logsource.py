"""Where the lines of the log come from: its file, those that it was rotated into, or the journal."""

import json
import os
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from caf.cli.text import warn
from caf.domain.errors import Refused

LONGEST = 1 << 20  # bytes of a line; what is longer is no line of the log
LOOK = 0.3  # s between two looks for more
SILENT = 60.0  # s without a word: the journal is stuck
FORWARD = 200  # lines of the journal before those that come, where only what is new is wanted
_ROTATED = r"(?:\.[0-9]{1,4}|-[0-9]{8}(?:-[0-9]+)?)"
_PACKED = r"(?:\.(?:gz|xz|bz2))?"


class LogFiles:
    """A log's file, and those that logrotate has made of it (`.1`, `-20260131`, packed or not), the oldest first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None
        self._begun = b""  # a line that is not whole yet

    def there(self) -> bool:
        """Tell whether there is anything to read."""
        return self.path.is_file() or bool(self._rotated())

    def past(self, since: float | None) -> Iterator[bytes]:
        """Give the whole lines that are there, of files that were written after `since` (s since 1970)."""
        self._open()  # before the others are listed, so that a rotation in between leaves nothing out
        ours = os.fstat(self._file.fileno()).st_ino if self._file is not None else None
        for old in self._rotated():
            try:
                status = old.stat()
                if status.st_ino == ours or (since is not None and status.st_mtime < since):
                    continue
                with _unpacked(old) as file:
                    while line := file.readline(LONGEST):
                        yield line
            except FileNotFoundError:  # rotated on meanwhile, or removed for its age
                continue
            except _trouble_with(old) as error:
                warn(f"{old}: cannot be read: {error}")
        yield from self._whole_lines()

    def more(self) -> Iterator[bytes]:
        """Give what has come since, whatever the file is called by now."""
        yield from self._whole_lines()
        if self._moved():
            yield from self._whole_lines()  # what came between the two looks
            self.close()
            self._open()
            yield from self._whole_lines()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
        self._file, self._begun = None, b""

    def _open(self) -> None:
        try:
            # A pipe in its place must not hang the command.
            self._file = open(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: SIM115  # until close()
        except FileNotFoundError:
            self._file = None

    def _whole_lines(self) -> Iterator[bytes]:
        while self._file is not None and (line := self._file.readline(LONGEST)):
            self._begun += line
            if line.endswith(b"\n") or len(self._begun) >= LONGEST:
                line, self._begun = self._begun, b""
                yield line

    def _moved(self) -> bool:
        """Tell whether another file has the name; one that was truncated is read from its beginning."""
        if self._file is None:
            return True
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False  # the new one comes with the next line
        ours = os.fstat(self._file.fileno())
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            return True
        if ours.st_size < self._file.tell():
            self._file.seek(0)
            self._begun = b""
        return False

    def _rotated(self) -> list[Path]:
        name, stem, ending = (re.escape(part) for part in (self.path.name, self.path.stem, self.path.suffix))
        wanted = re.compile(f"(?:{name}{_ROTATED}|{stem}{_ROTATED}{ending}){_PACKED}")
        try:
            found = {one.name: one for one in self.path.parent.iterdir() if wanted.fullmatch(one.name)}
        except OSError:
            return []
        twice = {name for name, one in found.items() if one.suffix in _OPENERS and one.stem in found}  # being packed
        return sorted((one for name, one in found.items() if name not in twice), key=_age)


def _age(path: Path) -> tuple[float, str]:
    try:
        return path.stat().st_mtime, path.name
    except OSError:
        return 0.0, path.name


def _gz(path: Path) -> IO[bytes]:
    import gzip

    return cast(IO[bytes], gzip.open(path))


def _xz(path: Path) -> IO[bytes]:
    import lzma

    return lzma.open(path)


def _bz2(path: Path) -> IO[bytes]:
    import bz2

    return bz2.open(path)


_OPENERS = {".gz": _gz, ".xz": _xz, ".bz2": _bz2}


def _trouble_with(path: Path) -> tuple[type[Exception], ...]:
    """Give what is raised of a file that cannot be read, or is packed and damaged; asked for once something was."""
    if path.suffix == ".gz":
        import zlib

        return OSError, EOFError, zlib.error
    if path.suffix == ".xz":
        import lzma

        return OSError, EOFError, lzma.LZMAError
    return OSError, EOFError


def _unpacked(path: Path) -> IO[bytes]:
    return _OPENERS[path.suffix](path) if path.suffix in _OPENERS else path.open("rb")


def journal(unit: str, since: float | None, *, follow: bool) -> Iterator[bytes]:
    """Give the lines that a unit has written to the journal. Refused where there is no journal, or it says no."""
    command = ["journalctl", "-u", unit, "-o", "json", "--output-fields=MESSAGE", "-a", "-q", "--no-pager"]
    command += [] if since is None else ["--since", f"@{int(since)}"]
    command += ["-f", "-n", "all" if since is not None else str(FORWARD)] if follow else []
    with tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints)
        except FileNotFoundError:
            raise Refused("journalctl is not installed on this machine") from None
        with process:
            assert process.stdout is not None
            try:
                for line in _lines_of(process.stdout.fileno(), None if follow else SILENT):
                    yield _message(line)
            finally:
                process.kill()
        if process.returncode > 0:
            complaints.seek(0)
            said = " ".join(complaints.read(4096).decode("utf-8", "replace").split())
            raise Refused(f"journalctl ended with {process.returncode}: {said or 'and says no more'}")


def _lines_of(stream: int, patience: float | None) -> Iterator[bytes]:
    begun = b""
    while True:
        if not select.select([stream], [], [], patience)[0]:
            raise Refused(f"journalctl has said nothing for {patience:g} s, and was ended: is the journal's disk well?")
        piece = os.read(stream, 1 << 16)
        if not piece:
            return
        *whole, begun = (begun + piece).split(b"\n")
        yield from whole


def _message(line: bytes) -> bytes:
    """Give what was written; journalctl gives as numbers what is not text."""
    try:
        message: Any = json.loads(line)["MESSAGE"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return b""
    if isinstance(message, list):
        return bytes(one & 255 for one in message if isinstance(one, int))
    return str(message or "").encode("utf-8", "backslashreplace")


def followed(files: LogFiles) -> Iterator[bytes]:
    """Give lines as they come, for ever."""
    while True:
        yield from files.more()
        time.sleep(LOOK)

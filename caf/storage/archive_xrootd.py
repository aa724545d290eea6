"""An archive on an XRootD server, by its own client programs."""

import os
import zlib
from collections.abc import Callable, Sequence
from urllib.parse import quote

from caf.storage.archive_place import PARTIAL, Steps, adler32, partial_name
from caf.storage.programs import Running, Said
from caf.storage.xrootd import (
    EXISTS,
    LIMIT,
    NOT_FOUND,
    UNSUPPORTED,
    Complaint,
    Entry,
    complaint,
    environment,
    parse_checksum,
    parse_listing,
    split,
)

PAUSE = 0.2  # s between two looks at the clock
MEMORY = "caf-archive"
SLOWEST = 1_000_000  # bytes a second: a copy that is slower is given up


class Remote:
    """A folder on a server. A name that is odd in a URL is stored with %, as in Gains%3F.pdf for Gains?.pdf."""

    def __init__(self, url: str) -> None:
        self._server, self._folder = split(url.rstrip("/"))
        self._listed: dict[str, dict[str, Entry]] = {}
        self._sums = True  # whether the server can tell a checksum

    def __str__(self) -> str:
        return f"{self._server}/{self._folder}"

    def stored(self, name: str) -> str:
        return quote(os.fsencode(name), safe="/ +,=@:")

    def begin(self) -> Steps[None]:
        """Look what is there already, and remove what an interrupted copy has left."""
        pending = [""]
        while pending:
            folder = pending.pop()
            entries = yield from self._list(folder)
            self._listed[folder] = {os.path.basename(entry.path): entry for entry in entries}
            for name, entry in self._listed[folder].items():
                if entry.folder:
                    pending.append(os.path.join(folder, name))
                elif PARTIAL.fullmatch(name):
                    yield from self.remove(os.path.join(folder, name))

    def size(self, name: str) -> Steps[int | None]:
        """Give a file's size by what was listed; nobody else writes there."""
        yield
        folder, last = os.path.split(name)
        entry = self._listed.get(folder, {}).get(last)
        return None if entry is None or entry.folder else entry.size

    def checksum(self, name: str) -> Steps[int]:
        """Have the server tell a file's sum; where it cannot, the file is read back."""
        path = self._at(name)
        if self._sums:
            try:
                said = yield from self._ask("query", "checksum", path)
            except Complaint as error:
                if error.number != UNSUPPORTED:
                    raise
                self._sums = False
            else:
                if (told := parse_checksum(said)) is not None:
                    return int(told, 16)
                self._sums = False  # of another kind
        value = [1]

        def add(piece: bytes) -> None:
            value[0] = zlib.adler32(piece, value[0])

        url = f"{self._server}/{path}"
        said_ = yield from self._run(["xrdcp", "-s", url, "-"], 86_400.0, take=add)
        _check(said_, f"read back {url}")
        return value[0]

    def put(self, source: int, name: str, status: os.stat_result) -> Steps[tuple[str, int]]:
        """Copy an open file under a name of its own, and give that and the sum of what was read."""
        value = yield from adler32(source)
        os.lseek(source, 0, os.SEEK_SET)
        partial = os.path.join(os.path.dirname(name), partial_name())
        yield from self._copy(source, partial, status.st_size)
        return partial, value

    def rename(self, partial: str, name: str) -> Steps[None]:
        """Rename; some servers refuse to do so over a file that is there."""
        try:
            yield from self._ask("mv", self._at(partial), self._at(name))
        except Complaint as error:
            folder, last = os.path.split(name)
            if error.number != EXISTS and last not in self._listed.get(folder, {}):
                raise
            yield from self._ask("rm", self._at(name))
            yield from self._ask("mv", self._at(partial), self._at(name))

    def remove(self, name: str) -> Steps[None]:
        try:
            yield from self._ask("rm", self._at(name))
        except Complaint:
            return  # what cannot be removed does no harm

    def read(self, name: str) -> Steps[bytes | None]:
        """Give a small file's content; None if it is not there."""
        data = bytearray()
        url = f"{self._server}/{self._at(name)}"
        said = yield from self._run(["xrdcp", "-s", url, "-"], LIMIT, take=data.extend)
        if said.code and complaint(f"read {url}", said).number == NOT_FOUND:
            return None
        _check(said, f"read {url}")
        return bytes(data)

    def write(self, name: str, data: bytes) -> Steps[None]:
        partial = partial_name()
        with open(os.memfd_create(MEMORY), "w+b", buffering=0) as file:
            file.write(data)
            yield from self._copy(file.fileno(), partial, len(data))
        if (yield from self.checksum(partial)) != zlib.adler32(data):
            raise Complaint(f"{self}/{partial} is not what was sent: it is tried again")
        yield from self.rename(partial, name)

    def _copy(self, source: int, partial: str, size: int) -> Steps[None]:
        url = f"{self._server}/{self._at(partial)}"
        command = ["xrdcp", "-f", "-s", "-p", f"/proc/self/fd/{source}", url]
        said = yield from self._run(command, 2 * LIMIT + size / SLOWEST, files=(source,))
        if said.code:
            yield from self.remove(partial)
        _check(said, f"archive to {url}")

    def _list(self, folder: str) -> Steps[list[Entry]]:
        path = self._at(folder)
        try:
            text = yield from self._ask("ls", "-l", path)
        except Complaint as error:
            if error.number == NOT_FOUND:
                return []
            raise
        return [entry for entry in parse_listing(text) if entry.path != path]

    def _ask(self, *words: str) -> Steps[str]:
        said = yield from self._run(["xrdfs", self._server, *words], 10 * LIMIT)
        _check(said, f"{' '.join(words[:-1])} {self._server}/{words[-1]}")
        return said.out

    def _run(
        self,
        arguments: Sequence[str],
        limit: float,
        *,
        take: Callable[[bytes], None] | None = None,
        files: Sequence[int] = (),
    ) -> Steps[Said]:
        program = Running(arguments, environment(), limit, take=take, files=files)
        try:
            while (said := program.go_on(PAUSE)) is None:
                yield
        except GeneratorExit:
            program.kill()
            raise
        return said

    def _at(self, name: str) -> str:
        return os.path.join(self._folder, name).rstrip("/")


def _check(said: Said, doing: str) -> None:
    if said.code:
        raise complaint(doing, said)

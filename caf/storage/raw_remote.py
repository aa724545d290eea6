"""Globs on XRootD servers: expanded folder by folder, as its client knows no wildcards."""

import fnmatch
import glob
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from caf.domain.errors import StorageError, StorageTimeout
from caf.storage.xrootd import BEING_WRITTEN, IS_FOLDER, OFFLINE, OTHER, Complaint, Entry, listing, split, stat_all

MOST = 1000  # folders that one exchange may list


class Servers:
    """What one exchange with the file child has seen of XRootD servers.

    A folder is listed once, however many runs' globs lead through it, and a server that did not answer is not asked
    again: each question to it would cost a time-out.
    """

    def __init__(self) -> None:
        self._listings: dict[str, list[Entry] | None] = {}
        self._silent: dict[str, StorageError] = {}

    def matches(self, pattern: str) -> list[str]:
        """Give the URLs that a glob matches, sorted; what stands after its last wildcard need not be there."""
        server, path = split(pattern)
        folders: Iterable[str] = [""]
        parts = path.strip("/").split("/")
        for number, part in enumerate(parts):
            folders = self._step(server, folders, part, last=number == len(parts) - 1)
        return sorted({f"{server}/{path}" for path in folders})

    def nearest(self, pattern: str) -> str:
        """Say of a glob without a match which folder on its way was not there, as far as that is known."""
        server, path = split(pattern)
        missing = [url for url, found in self._listings.items() if found is None and url.startswith(f"{server}//")]
        literal = path.strip("/").split("/")
        while literal and any(glob.has_magic(part) for part in literal):
            literal.pop()
        wanted = f"{server}//" + "/".join(literal)
        return f"; there is no folder {wanted}" if wanted in missing else ""

    def look(self, urls: Sequence[str]) -> list[dict[str, Any] | None]:
        """Give path, size and time of files, all on one server; None for those that are not there, and for folders."""
        if not urls:
            return []
        server = split(urls[0])[0]
        entries = self._ask(server, lambda: stat_all(server, [split(url)[1] for url in urls]))
        return [_file(url, entry) for url, entry in zip(urls, entries, strict=True)]

    def _step(self, server: str, folders: Iterable[str], part: str, *, last: bool) -> Iterator[str]:
        """Give what one part of a pattern makes of each folder."""
        if part == "**":
            for folder in folders:
                yield from self._below(server, folder, last=last)
        elif not glob.has_magic(part):
            yield from (f"{folder}/{part}" for folder in folders)
        else:
            fits = re.compile(fnmatch.translate(part)).match
            for folder in folders:
                for entry in self._list(server, folder):
                    name = entry.path.rpartition("/")[2]
                    if fits(name) and (last or entry.folder) and (part.startswith(".") or not name.startswith(".")):
                        yield entry.path

    def _below(self, server: str, folder: str, *, last: bool) -> Iterator[str]:
        """Give a folder and all below it; if that is the pattern's end, the files in them too."""
        yield folder
        for entry in self._list(server, folder):
            if entry.path.rpartition("/")[2].startswith("."):
                continue
            if entry.folder:
                yield from self._below(server, entry.path, last=last)
            elif last:
                yield entry.path

    def _list(self, server: str, folder: str) -> list[Entry]:
        url = f"{server}/{folder or '/'}"
        if url not in self._listings:
            if len(self._listings) >= MOST:
                raise StorageError(f"more than {MOST} folders of {server} would be listed: make `raw` narrower")
            self._listings[url] = self._ask(server, lambda: listing(server, folder or "/"))
        return self._listings[url] or []

    def _ask(self, server: str, question: Any) -> Any:
        if server in self._silent:
            raise self._silent[server]
        try:
            return question()
        except StorageTimeout as error:
            self._silent[server] = error
            raise
        except Complaint as error:
            if error.number is None:  # not the server's own words
                self._silent[server] = error
            raise


def _file(url: str, entry: Entry | None) -> dict[str, Any] | None:
    flags = (entry.flags or 0) if entry else IS_FOLDER
    if entry is None or flags & (IS_FOLDER | OTHER):
        return None
    file: dict[str, Any] = {"path": url, "size": entry.size, "mtime": entry.mtime}
    if flags & OFFLINE:
        file["offline"] = True
    if flags & BEING_WRITTEN:
        file["open"] = True
    return file

"""XRootD, by its own command line client: xrdfs asked, its answers read, its complaints told.

What it prints is read by pure functions; the forms are as XRootD 5.5 prints them.
Its times are UTC whatever the time zone. The answer to `query prepare` is JSON on EOS with CTA and on dCache
(EOS: mgm/QueryPrepareResponse.hh); a plain server has others, which are of no account here.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from caf.domain.errors import StorageError, StorageTimeout
from caf.storage.programs import Said, run, run_all

LIMIT = 30.0  # s for one question
AT_ONCE = 500  # paths in one command

IS_FOLDER, OTHER, OFFLINE, BEING_WRITTEN = 2, 4, 8, 64
"""Flags of stat: XProtocol.hh, kXR_isDir, kXR_other, kXR_offline, kXR_poscpend."""
NOT_AUTHORIZED, NO_SPACE, NOT_FOUND, UNSUPPORTED, EXISTS, OVER_QUOTA, READ_ONLY = (
    3010,
    3009,
    3011,
    3013,
    3018,
    3021,
    3025,
)
"""Numbers of a server's errors: XProtocol.hh, XErrorCode."""

_URL = re.compile(r"((?:x?root|x?roots)://[^/]+)/(/.*)", re.ASCII)
_NUMBER = re.compile(r"\[(\d{4})\]\s*")
_LONG = re.compile(r"([-dbclps])[-rwxsStT]{9}\S*\s+\S+\s+\S+\s+(\d+)\s+(\S+ \S+)\s+(/.*)")
_SHORT = re.compile(r"([-d])[-r][-w][-x]\s+(\d{4}-\d\d-\d\d \S+)\s+(\d+)\s+(/.*)")
_CHANGES_OUTPUT = re.compile(r"XRD_LOG|XRD_TLSDBGLVL|XRD_METALINK|XRD_CPRETRY|XrdSecDEBUG|LC_|LANG|TZ$")
_ADVICE = {
    NOT_AUTHORIZED: "give this account the right to it, or renew its credentials",
    NO_SPACE: "free some there",
    OVER_QUOTA: "free some there, or have the quota raised",
    READ_ONLY: "name another place",
}


class Complaint(StorageError):
    """What the client or the server said against a command; `number` is the server's own, if it gave one."""

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.number = number
        self.transient = number not in {NOT_AUTHORIZED, READ_ONLY, UNSUPPORTED}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder. `mtime` in s since 1970, by the server's clock; `flags` are None in a listing."""

    path: str
    size: int
    mtime: int
    folder: bool
    flags: int | None = None


@dataclass(frozen=True, slots=True)
class Recall:
    """What a server says of one file that was asked for from tape."""

    online: bool
    requested: bool
    error: str


def is_remote(path: str) -> bool:
    """Tell whether a path is a URL, and so nothing for the operating system."""
    return "://" in path


def split(url: str) -> tuple[str, str]:
    """Give server ("root://host:1094") and path of a URL; StorageError if it is none of XRootD's."""
    found = _URL.fullmatch(url)
    if not found:
        raise StorageError(f"{url} is no address that caf understands: write root://host//path, or a path")
    return found[1], "/" + found[2].lstrip("/")


def environment(ours: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Give the client's environment: nothing in it changes what it prints, and it gives up by itself."""
    kept = {name: value for name, value in ours.items() if not _CHANGES_OUTPUT.match(name)}
    patience = {"XRD_CONNECTIONWINDOW": "10", "XRD_CONNECTIONRETRY": "2", "XRD_STREAMERRORWINDOW": "10"}
    return {**patience, **kept, "LC_ALL": "C", "TZ": "UTC", "XRD_METALINKPROCESSING": "0"}


def complaint(what: str, said: Said) -> Complaint:
    """Make an error "cannot <what>: <why>: <what to do>" of what the client said before it ended with a bad status."""
    lines = [line.strip() for line in said.err.replace("\0", "").splitlines() if line.strip()]
    text = next((line for line in reversed(lines) if "[" in line), lines[-1] if lines else f"exit status {said.code}")
    text = text.partition("] ")[2] if re.match(r"(?:Run: )?\[[A-Z]+\] ", text) else text
    found = _NUMBER.search(text)
    number = int(found[1]) if found else None
    text = re.sub(r" *\((?:source|destination)\)$", "", text[found.end() :] if found else text)
    advice = _ADVICE.get(number or 0) or ("is the server up, and its name right?" if said.code in {51, -9} else "")
    return Complaint(f"cannot {what}: {text[:300]}" + (f": {advice}" if advice else ""), number)


@contextmanager
def _naming(server: str) -> Iterator[None]:
    try:
        yield
    except StorageTimeout as late:
        raise StorageTimeout(f"{server} does not answer: {late}") from None


def ask(server: str, *words: str) -> str:
    """Have xrdfs do one thing, and give what it prints; Complaint, StorageTimeout."""
    with _naming(server):
        said = run(["xrdfs", server, *words], environment(), LIMIT)
    if said.code:
        raise complaint(f"{words[0]} {server}/{words[-1]}", said)
    return said.out


def listing(server: str, folder: str) -> list[Entry] | None:
    """Give what is in a folder, with sizes and times, in order of the names; None if there is no such folder."""
    try:
        found = parse_listing(ask(server, "ls", "-l", folder))
    except Complaint as error:
        if error.number == NOT_FOUND:
            return None
        raise
    return [entry for entry in found if entry.path != folder.rstrip("/")]  # of a file it lists the file


def stat_all(server: str, paths: Sequence[str]) -> list[Entry | None]:
    """Look at files, some at once (a command takes only one); None for those that are not there."""
    with _naming(server):
        answers = run_all([["xrdfs", server, "stat", path] for path in paths], environment(), LIMIT)
    entries: list[Entry | None] = []
    for path, said in zip(paths, answers, strict=True):
        if said.code == 0:
            entries.append(parse_stat(said.out))
        elif (error := complaint(f"stat {server}/{path}", said)).number == NOT_FOUND:
            entries.append(None)
        else:
            raise error
    return entries


def prepare(server: str, paths: Sequence[str]) -> str:
    """Ask for files from tape; gives the request's name. That they are asked for already does no harm."""
    return parse_prepare(ask(server, "prepare", "-s", *paths))


def query_prepare(server: str, request: str, paths: Sequence[str]) -> dict[str, Recall]:
    """Ask what has become of a request, by path; Complaint if the server does not know it, or cannot tell."""
    return parse_query(ask(server, "query", "prepare", request, *paths))


def parse_stat(text: str) -> Entry:
    """Read the answer of `xrdfs stat`."""
    fields = dict(re.findall(r"^(\w+):\s+(.*)$", text, re.MULTILINE))
    try:
        flags = int(fields["Flags"].split()[0])
        return Entry(fields["Path"], int(fields["Size"]), _time(fields["MTime"]), bool(flags & IS_FOLDER), flags)
    except (KeyError, ValueError, IndexError):
        raise _unreadable("stat", text) from None


def parse_listing(text: str) -> list[Entry]:
    """Read the answer of `xrdfs ls -l`; servers that know nothing of owners have a shorter form."""
    entries = []
    for line in filter(None, text.splitlines()):
        if found := _LONG.fullmatch(line):
            kind, size, time, path = found.groups()
        elif found := _SHORT.fullmatch(line):
            kind, time, size, path = found.groups()
        else:
            raise _unreadable("ls -l", line)
        try:
            entries.append(Entry(path, int(size), _time(time), kind == "d"))
        except ValueError:
            raise _unreadable("ls -l", line) from None
    return sorted(entries, key=lambda entry: entry.path)


def parse_checksum(text: str) -> str | None:
    """Read the answer of `xrdfs query checksum`: eight digits of adler32; None if the server has another kind."""
    words = text.replace("\0", "").split()
    if len(words) != 2 or not re.fullmatch(r"[0-9a-fA-F]+", words[1]):
        raise _unreadable("query checksum", text)
    return f"{int(words[1], 16):08x}" if words[0].lower() == "adler32" else None


def parse_prepare(text: str) -> str:
    """Read the answer of `xrdfs prepare`: the request's name, one word."""
    words = text.replace("\0", "").split()
    if len(words) != 1:
        raise _unreadable("prepare", text)
    return words[0]


def parse_query(text: str) -> dict[str, Recall]:
    """Read the answer of `xrdfs query prepare`, by path. Truth is true on EOS and 1 elsewhere."""
    try:
        answers: list[dict[str, Any]] = json.loads(text.replace("\0", ""))["responses"]
        return {
            str(one["path"]): Recall(bool(one["online"]), bool(one["requested"]), str(one.get("error_text") or ""))
            for one in answers
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _unreadable("query prepare", text) from None


def _time(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp())


def _unreadable(command: str, text: str) -> Complaint:
    shown = " ".join(text.split())[:100] or "nothing"
    return Complaint(f"the answer of xrdfs {command} cannot be read: {shown!r}: is it XRootD's own client?")

"""What XRootD's client prints is understood: as recorded from version 5.5.3, and as EOS's sources have it."""

from collections.abc import Callable

import pytest

from caf.domain.errors import StorageError
from caf.storage.programs import Said
from caf.storage.xrootd import (
    BEING_WRITTEN,
    NOT_FOUND,
    OFFLINE,
    Entry,
    Recall,
    complaint,
    environment,
    parse_checksum,
    parse_listing,
    parse_prepare,
    parse_query,
    parse_stat,
    split,
)

T = 1_795_388_345  # 2026-11-22 22:59:05 UTC

STAT = """Path:   /eos/raw/f1.data
Id:     9361319308361216
Size:   6
MTime:  2026-11-22 22:59:05
CTime:  2026-11-22 22:59:06
ATime:  2026-11-22 22:59:07
Flags:  {flags}
Mode:   0644
Owner:  root
Group:  root
"""


@pytest.mark.parametrize(
    ("flags", "offline", "being_written", "folder"),
    [
        ("16 (IsReadable)", False, False, False),
        ("19 (XBitSet|IsDir|IsReadable)", False, False, True),
        ("24 (Offline|IsReadable)", True, False, False),
        ("152 (Offline|IsReadable|BackUpExists)", True, False, False),
        ("144 (IsReadable|BackUpExists)", False, False, False),
        ("112 (IsReadable|IsWritable|POSCPending)", False, True, False),
        ("0 ()", False, False, False),
    ],
)
def test_the_flags_of_a_file_are_read(flags: str, offline: bool, being_written: bool, folder: bool) -> None:
    entry = parse_stat(STAT.format(flags=flags))
    assert (entry.path, entry.size, entry.mtime, entry.folder) == ("/eos/raw/f1.data", 6, T, folder)
    assert entry.flags is not None
    assert (bool(entry.flags & OFFLINE), bool(entry.flags & BEING_WRITTEN)) == (offline, being_written)


def test_a_name_is_taken_as_it_is() -> None:
    text = STAT.format(flags="16 (IsReadable)").replace("/eos/raw/f1.data", "/eos/Size:   7 x")
    assert parse_stat(text).path == "/eos/Size:   7 x"


def test_a_listing_is_read() -> None:
    text = (
        "-rw-r--r-- root root    0 2026-11-22 22:59:05 /eos/pipe\n"
        "drwxr-xr-x root root 4096 2026-11-22 22:59:05 /eos/b\n"
        "-rw-r--r-- 10761  zp    2 2026-11-22 22:59:05 /eos/a name.data\n"
    )
    assert parse_listing(text) == [
        Entry("/eos/a name.data", 2, T, False),
        Entry("/eos/b", 4096, T, True),
        Entry("/eos/pipe", 0, T, False),
    ]
    assert parse_listing("") == []


def test_a_listing_of_a_server_without_owners_is_read() -> None:
    text = "dr-x 2026-11-22 22:59:05        4096 /eos/b\n-r-- 2026-11-22 22:59:05 12345678901234 /eos/a\n"
    assert parse_listing(text) == [Entry("/eos/a", 12345678901234, T, False), Entry("/eos/b", 4096, T, True)]


def test_a_checksum_is_read_with_its_leading_zeros() -> None:
    assert parse_checksum("adler32 084b021f\n") == "084b021f"
    assert parse_checksum("adler32 84b021f\0\n") == "084b021f"
    assert parse_checksum("md5 d41d8cd98f00b204e9800998ecf8427e\n") is None


def test_a_requests_name_is_read() -> None:
    assert parse_prepare("79767f000001:07aafb0c.6b0373b7:1\n") == "79767f000001:07aafb0c.6b0373b7:1"
    assert parse_prepare("*:1a2b.3c:1795388345\0\n") == "*:1a2b.3c:1795388345"


def test_what_became_of_a_request_is_read() -> None:
    eos = (
        '{"request_id":"*:1","responses":[{"path":"/a","path_exists":true,"on_tape":true,"online":false,'
        '"requested":true,"has_reqid":true,"req_time":"1795388345","error_text":""},{"path":"/b","path_exists":true,'
        '"on_tape":true,"online":false,"requested":false,"has_reqid":false,"req_time":"","error_text":"no drive"}]}\n'
    )
    assert parse_query(eos) == {"/a": Recall(False, True, ""), "/b": Recall(False, False, "no drive")}
    other = '{"responses":[{"path":"/a","online":1,"requested":1,"error_text":null}]}'
    assert parse_query(other) == {"/a": Recall(True, True, "")}


@pytest.mark.parametrize("parse", [parse_stat, parse_listing, parse_checksum, parse_prepare, parse_query])
@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2J<html>503 \0 Flags: many\nMTime: soon",
        "-rw-r--r-- root root x 2026-11-22 22:59:05 /a",
        "-rw-r--r-- root root 1 2026-13-22 22:59:05 /a",
        '{"responses": {"path": 1}}',
        '{"responses": [1]}',
        STAT.format(flags="many"),
        STAT.format(flags=""),
        STAT.format(flags="16 (IsReadable)").replace("2026-11-22", "yesterday"),
    ],
)
def test_garbage_is_an_error_that_shows_it(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(StorageError, match="cannot be read") as told:
        parse(text)
    assert "\n" not in str(told.value)
    assert told.value.transient


@pytest.mark.parametrize("parse", [parse_stat, parse_checksum, parse_prepare, parse_query])
def test_no_answer_is_an_error_too(parse: Callable[[str], object]) -> None:
    with pytest.raises(StorageError, match="cannot be read: 'nothing'"):
        parse("")


@pytest.mark.parametrize(
    ("said", "number", "text"),
    [
        (
            Said(54, "", "[ERROR] Server responded with an error: [3011] Unable to locate /a; no such file\0\n\n"),
            NOT_FOUND,
            "cannot stat x: Unable to locate /a; no such file",
        ),
        (
            Said(54, "", "[ERROR] Server responded with an error: [3010] Unable to locate /a; permission denied\0\n\n"),
            3010,
            "cannot stat x: Unable to locate /a; permission denied: give this account the right to it, or renew its "
            "credentials",
        ),
        (
            Said(54, "", "Run: [ERROR] Server responded with an error: [3009] no space left\0 (destination)\n\n"),
            3009,
            "cannot stat x: no space left: free some there",
        ),
        (
            Said(51, "", "[FATAL] Connection error\n"),
            None,
            "cannot stat x: Connection error: is the server up, and its name right?",
        ),
        (Said(50, "", "Run: [ERROR] Invalid operation: file exists\n"), None, "cannot stat x: Invalid operation"),
        (Said(2, "", "xrdcp: no such file or directory\n"), None, "cannot stat x: xrdcp: no such file or directory"),
        (Said(1, "", ""), None, "cannot stat x: exit status 1"),
    ],
)
def test_a_complaint_is_told_in_one_line_with_what_to_do(said: Said, number: int | None, text: str) -> None:
    error = complaint("stat x", said)
    assert error.number == number
    assert str(error).startswith(text)
    assert "\n" not in str(error)


def test_a_url_is_taken_apart() -> None:
    assert split("root://eos.cern.ch//eos/a//b") == ("root://eos.cern.ch", "/eos/a//b")
    assert split("xroots://me@host:1094///a") == ("xroots://me@host:1094", "/a")


@pytest.mark.parametrize("url", ["root://host/a", "root://host", "https://host//a", "/eos/a", "root:////a"])
def test_what_is_no_url_of_xrootd_is_refused(url: str) -> None:
    with pytest.raises(StorageError, match="write root://host//path"):
        split(url)


def test_nothing_in_the_environment_changes_what_the_client_prints() -> None:
    given = {"XRD_LOGLEVEL": "Dump", "XRD_LOGFILE": "/f", "XrdSecDEBUG": "1", "LC_ALL": "fr", "LANG": "de", "TZ": "X"}
    kept = {"XrdSecPROTOCOL": "krb5", "KRB5CCNAME": "FILE:/c", "XRD_CONNECTIONWINDOW": "3", "PATH": "/bin"}
    found = environment({**given, **kept})
    assert found.items() >= kept.items()
    assert (found["LC_ALL"], found["TZ"]) == ("C", "UTC")
    assert found.keys() - kept.keys() == {
        "LC_ALL",
        "TZ",
        "XRD_CONNECTIONRETRY",
        "XRD_METALINKPROCESSING",
        "XRD_STREAMERRORWINDOW",
    }

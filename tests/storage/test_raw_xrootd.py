"""Raw files on a real XRootD server."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from caf.storage import xrootd
from caf.storage.raw import find_all, find_raw, look_again
from tests.clusters import xrootd as cluster
from tests.clusters.tape import Tape
from tests.clusters.xrootd import Server, needs_xrootd

pytestmark = needs_xrootd
RUN = 490001


@pytest.fixture(scope="module")
def one() -> Iterator[Server]:
    with cluster.running() as server:
        yield server


@pytest.fixture
def server(one: Server) -> Server:
    """The server, with a folder of its own for each test: see `at`."""
    place = one.data / f"test{len(list(one.data.iterdir()))}"
    place.mkdir()
    return Server(place, one.port, one.process)


def at(server: Server, path: str) -> str:
    return f"{server.url}//{server.data.name}/{path}"


def paths(server: Server, pattern: str, run: int = RUN) -> list[str]:
    found = find_raw([at(server, pattern)], run)
    return [file["path"].removeprefix(at(server, "")) for file in found["files"]]


def test_the_rucio_layout_is_found_with_sizes_and_times(server: Server) -> None:
    server.file("00490001/data15.RAW/_0001.data", "12345", age=1000)
    server.file("00490001/data15.ESD/_0001.data")
    server.file("00490002/data15.RAW/_0001.data")
    answer = find_raw([at(server, "00490001/*RAW*/*")], RUN)
    status = os.stat(server.data / "00490001/data15.RAW/_0001.data")
    wanted = {"path": at(server, "00490001/data15.RAW/_0001.data"), "size": 5, "mtime": int(status.st_mtime)}
    assert answer == {"files": [wanted], "pattern": at(server, "00490001/*RAW*/*")}


def test_a_number_counts_only_between_other_characters(server: Server) -> None:
    for name in ("a.490001.RAW", "b_00490001_c", "a.1490001.RAW", "a.4900012.RAW", "other", ".490001.hidden"):
        server.file(name)
    assert paths(server, "*") == ["a.490001.RAW", "b_00490001_c"]


def test_names_with_spaces_and_other_marks_are_found(server: Server) -> None:
    for name in ("490001 a b", "490001;echo x", "490001'\"$(x)", "490001é", "[490001]"):
        server.file(name)
    assert paths(server, "*") == sorted(["490001 a b", "490001;echo x", "490001'\"$(x)", "490001é", "[490001]"])
    assert paths(server, "[[]490001]") == ["[490001]"]


def test_wildcards_are_as_on_a_file_system(server: Server) -> None:
    for name in ("a/x/490001.RAW", "a/y/z/490001.RAW", "a/490001.RAW", "b/490001.LOG"):
        server.file(name)
    for pattern in ("a/**/*.RAW", "?/490001.*", "[ab]/*", "a/x/490001.RAW", "a/none", "*/*/*"):
        locally = find_raw([str(server.data / pattern)], RUN)["files"]
        assert paths(server, pattern) == [os.path.relpath(file["path"], server.data) for file in locally], pattern


def test_the_first_pattern_that_yields_wins_wherever_it_is(server: Server, tmp_path: Path) -> None:
    server.file("b/490001.RAW")
    (tmp_path / "490001.RAW").touch()
    patterns = [at(server, "a/*"), at(server, "b/*"), f"{tmp_path}/*"]
    assert find_raw(patterns, RUN)["pattern"] == patterns[1]
    assert find_raw([patterns[0], patterns[2]], RUN)["pattern"] == patterns[2]


def test_why_nothing_was_found_is_told(server: Server) -> None:
    server.file("a/490002.RAW")
    (server.data / "b" / "490001").mkdir(parents=True)
    answer = find_raw([at(server, "a/*"), at(server, "b/*"), at(server, "c/00490001/*")], RUN)
    assert answer["files"] == []
    assert answer["why"].split("; ") == [
        f"{at(server, 'a/*')} matches 1 entries, none with the number 490001",
        f"{at(server, 'b/*')} matches 1 entries but no regular file",
        f"{at(server, 'c/00490001/*')} matches nothing",
        f"there is no folder {at(server, 'c/00490001')}",
    ]


def test_what_may_not_be_read_is_told_and_not_taken_for_absent(server: Server) -> None:
    if os.geteuid() != 0:
        pytest.skip("the server runs as the one who makes the files, so that nothing can be kept from it")
    server.file("sealed/490001.RAW")
    (server.data / "sealed").chmod(0o700)
    (answer,) = find_all([([at(server, "sealed/*")], RUN)], 5.0)
    assert "permission denied: give this account the right to it" in answer["why"]
    assert server.url in answer["why"]


def test_a_time_zone_changes_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.file("490001.RAW", age=1000)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    (file,) = find_raw([at(server, "*")], RUN)["files"]
    assert abs(time.time() - 1000 - file["mtime"]) < 60


def test_a_chatty_client_is_understood(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.file("490001.RAW")
    monkeypatch.setenv("XRD_LOGLEVEL", "Dump")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert paths(server, "*") == ["490001.RAW"]


def test_a_folder_is_listed_once_for_all_runs(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for run in range(RUN, RUN + 5):
        server.file(f"all/{run}.RAW")
    asked: list[str] = []
    real = xrootd.ask

    def ask(server: str, *words: str) -> str:
        asked.append(words[-1])
        return real(server, *words)

    monkeypatch.setattr(xrootd, "ask", ask)
    answers = find_all([([at(server, f"all/*{run}*")], run) for run in range(RUN, RUN + 5)], 20.0)
    assert [len(answer["files"]) for answer in answers] == [1] * 5
    assert len(asked) == 1


def test_a_server_that_is_away_is_asked_once_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second server, and a mounted file system, are looked at all the same."""
    monkeypatch.setenv("XRD_CONNECTIONWINDOW", "1")
    monkeypatch.setenv("XRD_CONNECTIONRETRY", "1")
    (tmp_path / "490003.RAW").touch()
    nobody = f"root://localhost:{cluster.free_port()}"
    begun = time.monotonic()
    requests = [([f"{nobody}//a/{run}/*"], run) for run in range(RUN, RUN + 100)] + [([f"{tmp_path}/*"], 490003)]
    answers = find_all(requests, 60.0)
    assert time.monotonic() - begun < 20
    assert [bool(answer["files"]) for answer in answers] == [False] * 100 + [True]
    assert "Connection error: is the server up" in answers[99]["why"]
    assert nobody in answers[0]["why"]


def test_a_server_that_never_answers_costs_one_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xrootd, "LIMIT", 1.0)
    with cluster.running() as server:
        server.file("a/490001.RAW")
        pattern = f"{server.url}//a/*"
        server.stop()
        begun = time.monotonic()
        answers = find_all([([pattern], run) for run in range(RUN, RUN + 20)], 60.0)
        assert time.monotonic() - begun < 15
        assert answers[19]["why"] == f"{server.url} does not answer: xrdfs was not done within 1 s and was ended"
        server.go_on()
        assert len(find_all([([pattern], RUN)], 60.0)[0]["files"]) == 1


def test_when_the_time_is_up_the_others_turn_comes_later(server: Server) -> None:
    server.file("490001.RAW")
    assert len(find_all([([at(server, "*")], RUN)] * 5, 0.0)) == 1


def test_what_changed_since_is_told(server: Server) -> None:
    first, second = server.file("490001.1"), server.file("490001.2")
    inputs = find_raw([at(server, "*")], RUN)["files"]
    assert look_again([inputs, []], 20.0) == [None, None]
    server.file("490001.2", "more events\n")
    (told,) = look_again([inputs], 20.0)
    assert told is not None
    assert told.endswith("490001.2 had 7 bytes and has 12 now")
    server.file("490001.2", age=10)
    (told,) = look_again([inputs], 20.0)
    assert told is not None
    assert told.endswith("490001.2 was written again")
    (server.data / "490001.2").unlink()
    (told,) = look_again([inputs], 20.0)
    assert told is not None
    assert told.endswith("490001.2 is gone")
    assert first != second


def test_files_on_tape_are_told_from_others(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.file("490001.1")
    server.file("490001.2")
    inputs = find_raw([at(server, "*")], RUN)["files"]
    tape = Tape(tmp_path / "tape", monkeypatch)
    tape.offline(f"/{server.data.name}/490001.2")
    assert [file.get("offline", False) for file in find_raw([at(server, "*")], RUN)["files"]] == [False, True]
    (told,) = look_again([inputs], 20.0)
    assert told is not None
    assert told.endswith("490001.2 is on tape only")


@pytest.mark.parametrize("word", ["ls", "stat"])
@pytest.mark.parametrize("fault", ["garbage", "flood"])
def test_a_client_that_talks_rubbish_is_an_error_and_no_absence(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, fault: str
) -> None:
    server.file("490001.RAW")
    Tape(tmp_path / "tape", monkeypatch).fault(**{word: fault})
    (answer,) = find_all([([at(server, "*")], RUN)], 20.0)
    assert answer["files"] == []
    assert {"garbage": "cannot be read", "flood": "said more than"}[fault] in answer["why"]

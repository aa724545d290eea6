"""Files on tape: asked for, asked after, and asked for again where the storage has forgotten."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from caf.storage import staging, xrootd
from caf.storage.staging import recall
from tests.clusters import xrootd as cluster
from tests.clusters.tape import Tape
from tests.clusters.xrootd import Server, needs_xrootd

pytestmark = needs_xrootd
A, B = "/raw/490001.a", "/raw/490001.b"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with cluster.running() as server:
        for path in (A, B):
            server.file(path)
        yield server


@pytest.fixture
def tape(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tape:
    tape = Tape(tmp_path / "tape", monkeypatch)
    tape.offline(A, B)
    return tape


def see_to(server: Server, request: str | None, *paths: str) -> dict[str, Any]:
    (answer,) = recall([(request, [f"{server.url}/{path}" for path in paths or (A, B)])], 20.0)
    return answer


def test_files_are_asked_for_once(server: Server, tape: Tape) -> None:
    first = see_to(server, None)
    assert first == {"recall": first["recall"], "why": None}
    assert tape.asked == [[A, B]]
    for _ in range(3):
        assert see_to(server, first["recall"]) == first
    tape.bring_back(A)
    assert see_to(server, first["recall"], B) == first
    assert len(tape.asked) == 1


def test_what_the_storage_gave_up_is_asked_for_again_and_its_reason_told(server: Server, tape: Tape) -> None:
    request = see_to(server, None)["recall"]
    tape.fails_with(B, "the drive is on fire")
    again = see_to(server, request)
    assert again["recall"] != request
    assert again["why"] == f"{B}: the drive is on fire"
    assert tape.asked == [[A, B], [B]]


def test_a_request_that_the_server_does_not_know_is_made_again(server: Server, tape: Tape) -> None:
    request = see_to(server, None)["recall"]
    tape.fault(query="forget")
    again = see_to(server, request)
    assert again["recall"] not in {None, request}
    assert "owned by an unknown server" in again["why"]
    assert tape.asked == [[A, B], [A, B]]


def test_a_refusal_is_told_and_nothing_is_asked_for(server: Server, tape: Tape) -> None:
    tape.fault(prepare="refuse")
    answer = see_to(server, None)
    assert answer["recall"] is None
    assert "User cannot prepare; permission denied: give this account the right to it" in answer["why"]


@pytest.mark.parametrize("fault", ["garbage", "hang", "flood"])
def test_a_query_that_fails_changes_nothing(
    server: Server, tape: Tape, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(xrootd, "LIMIT", 2.0)
    request = see_to(server, None)["recall"]
    tape.fault(query=fault)
    answer = see_to(server, request)
    assert answer["recall"] == request
    assert answer["why"]
    assert len(tape.asked) == 1


def test_very_many_files_are_asked_for_in_several_requests(
    server: Server, tape: Tape, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "AT_ONCE", 1)
    request = see_to(server, None)["recall"]
    assert tape.asked == [[A], [B]]
    assert len(request.split()) == 2
    assert see_to(server, request) == {"recall": request, "why": None}
    assert len(tape.asked) == 2


def test_when_the_time_is_up_the_others_turn_comes_later(server: Server, tape: Tape) -> None:
    assert len(recall([(None, [f"{server.url}/{A}"])] * 3, 0.0)) == 1

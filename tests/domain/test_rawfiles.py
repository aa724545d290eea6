"""Raw files are taken when they are whole: old, or unchanged before caf's own eyes."""

from typing import Any

import pytest

from caf.domain.rawfiles import STEADY, mark_of, ripeness

NOW, QUIET = 1_800_000_000.0, 300.0


def file(age: float, size: int = 1000, name: str = "a", **more: Any) -> dict[str, Any]:
    return {"path": f"/raw/{name}", "size": size, "mtime": NOW - age, **more}


def first(*files: dict[str, Any], quiet: float = QUIET) -> Any:
    return ripeness(files, now=NOW, quiet=quiet, mark=None, since=None)


def test_old_files_are_taken_at_the_first_look() -> None:
    assert first(file(QUIET), file(1e6, name="b"), file(QUIET, size=0, name="empty")).why is None


def test_one_young_file_makes_all_wait() -> None:
    state = first(file(1e6), file(QUIET - 1, name="young"))
    assert state.why == "1 of 2 files may still grow: /raw/young"
    assert (state.again_in, state.since) == (STEADY, NOW)


def test_two_looks_that_agree_a_minute_apart_are_enough() -> None:
    files = [file(1.0)]
    state = first(*files)
    for later, waits in ((STEADY - 1, True), (STEADY, False)):
        again = ripeness(files, now=NOW + later, quiet=QUIET, mark=state.mark, since=state.since)
        assert (again.why is not None) is waits
    assert again.why is None


@pytest.mark.parametrize("change", [{"size": 1001}, {"mtime": NOW}, {"path": "/raw/b"}])
def test_looks_that_differ_begin_anew(change: dict[str, Any]) -> None:
    state = first(file(1.0))
    changed = {**file(1.0), **change}
    again = ripeness([changed], now=NOW + STEADY, quiet=QUIET, mark=state.mark, since=state.since)
    assert again.why is not None
    assert again.since == NOW + STEADY


def test_an_empty_file_must_stand_still_for_as_long_as_an_old_one() -> None:
    """By caf's own clock: that of the server may be ahead for ever."""
    files = [file(-1e6, size=0)]
    state = first(*files)
    assert state.why == "the file is empty as yet: /raw/a"
    assert state.again_in == QUIET
    for later, waits in ((STEADY, True), (QUIET - 1, True), (QUIET, False)):
        again = ripeness(files, now=NOW + later, quiet=QUIET, mark=state.mark, since=state.since)
        assert (again.why is not None) is waits


def test_a_server_whose_clock_is_ahead_costs_one_look_more() -> None:
    files = [file(-86_400.0)]
    state = first(*files)
    assert state.why is not None
    assert ripeness(files, now=NOW + STEADY, quiet=QUIET, mark=state.mark, since=state.since).why is None


def test_what_the_server_says_is_being_written_is_never_taken() -> None:
    files = [file(1e6, open=True)]
    state = first(*files)
    assert state.why == "the file is still being written: /raw/a"
    assert ripeness(files, now=NOW + 1e6, quiet=QUIET, mark=state.mark, since=state.since).why is not None


def test_nothing_is_waited_for_where_nothing_is_to_be_quiet() -> None:
    assert first(file(-5.0), file(0.0, size=0, name="b"), quiet=0.0).why is None


def test_no_files_are_whole() -> None:
    assert first().why is None


def test_the_order_of_files_is_of_no_account() -> None:
    files = [file(1.0), file(2.0, name="b")]
    assert mark_of(files) == mark_of(files[::-1])

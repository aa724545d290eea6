"""How far something long is: late, short, and gone at the end; and nowhere but in a terminal."""

import io
import re

import pytest

from caf.cli import progress


class Terminal(io.StringIO):
    """Standard error, as long as somebody looks."""

    def isatty(self) -> bool:
        return True


def looked_at(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Put it in place; in the test itself, for pytest puts its own in place before."""
    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setenv("COLUMNS", "80")
    return shown


def last(terminal: Terminal) -> str:
    return terminal.getvalue().rpartition("\r")[2]


def test_it_comes_after_two_seconds_and_tells_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = looked_at(monkeypatch)
    now = [0.0]
    with progress.Progress("replay", "runs", clock=lambda: now[0]) as bar:
        now[0] = 1.9
        bar(10, 1000)
        assert terminal.getvalue() == ""
        now[0] = 10.0
        bar(4000, 10_000)
        assert last(terminal) == "replay [########------------]  40 %  4,000 of 10,000 runs  400/s  15 s left"
        now[0] = 10.05
        bar(4001, 10_000)  # not at every step
        assert "4,001" not in terminal.getvalue()
        now[0] = 25.0
        bar(10_000, 10_000)
        assert last(terminal).startswith("replay [####################] 100 %  10,000 of 10,000 runs  400/s")
    assert re.search(r"\r +\r$", terminal.getvalue())  # wiped away


def test_without_a_whole_there_is_no_bar_and_without_a_count_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = looked_at(monkeypatch)
    now = [0.0]
    bar = progress.Progress("backup", "MB", scale=1e6, clock=lambda: now[0])
    now[0] = 10.0
    bar(50e6)
    assert last(terminal) == "backup: 50 MB  5/s"
    now[0] = 20.0
    bar()
    assert last(terminal).rstrip(" \b") == "backup ... 20 s"
    bar.hide()


def test_it_never_takes_more_than_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = looked_at(monkeypatch)
    monkeypatch.setenv("COLUMNS", "30")
    bar = progress.Progress("replay", "runs", clock=iter([0.0, 5.0]).__next__)
    bar(1, 2)
    assert len(last(terminal)) == 29
    bar.hide()


def test_in_a_pipe_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr("sys.stderr", pipe)
    with progress.Progress("replay", "runs", clock=iter([0.0, 5.0]).__next__) as bar:
        bar(1, 2)
    with progress.busy("checking"):
        pass
    assert pipe.getvalue() == ""


def test_whatever_is_printed_finds_the_line_free(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = looked_at(monkeypatch)
    bar = progress.Progress("rehearsal", "jobs", clock=iter([0.0, 5.0]).__next__)
    bar(1, 2)
    progress.hide()
    assert terminal.getvalue().endswith(" \r")
    progress.hide()  # there is nothing left to take away
    assert terminal.getvalue().count("\r") == 3

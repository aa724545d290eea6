"""The log: JSON lines, events from a closed list, no local variables, and no way to stop the supervisor."""

import ast
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

import caf
from caf import log
from tests.world import wait_until


@pytest.fixture(autouse=True)
def _configured() -> Iterator[None]:
    log.configure()
    yield
    structlog.reset_defaults()


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_is_one_json_object_with_event_level_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    log.get_log(run=490001).warning("job.doubtful", why="zwei\nZeilen, „Anführung“ und \x1b[31m")
    (line,) = logged(capsys)
    assert line.pop("at").endswith("Z")
    assert line == {
        "run": 490001,
        "event": "job.doubtful",
        "level": "warning",
        "why": "zwei\nZeilen, „Anführung“ und \x1b[31m",
    }


def test_an_event_that_is_not_in_the_list_is_a_fault() -> None:
    with pytest.raises(ValueError, match=r"job\.invented is not in the list"):
        log.get_log().info("job.invented")


def test_every_event_that_the_code_logs_is_in_the_list_and_the_list_holds_no_other() -> None:
    """Found in the source: the first argument of every call of a logger's method."""
    used = set()
    for path in Path(caf.__file__).parent.rglob("*.py"):
        if "templates" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"debug", "info", "warning", "error", "exception", "critical"}
                and ast.unparse(node.func.value).endswith("log")
            ):
                argument = node.args[0]
                if isinstance(argument, ast.Constant):
                    used.add(argument.value)
                else:  # discover's own table of statuses
                    assert ast.unparse(argument) == "EVENTS[Status(status)]"
    assert used <= set(log.EVENTS)
    unused = set(log.EVENTS) - used
    assert {name for name in unused if not name.startswith("run.")} == set()


def test_a_traceback_holds_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    def careless() -> None:
        password = "hunter2"  # what must not be seen
        raise RuntimeError(f"no ticket, {len(password)} characters")

    try:
        careless()
    except RuntimeError:
        log.get_log().exception("duty.failed", duty="credentials")
    (line,) = logged(capsys)
    (trace,) = line["exception"]
    assert trace["exc_type"] == "RuntimeError"
    assert trace["exc_value"] == "no ticket, 7 characters"
    assert [frame["name"] for frame in trace["frames"]][-1] == "careless"
    assert "hunter2" not in json.dumps(line)


@pytest.mark.parametrize("state", ["closed", "broken", "missing"])
def test_a_standard_output_that_went_away_stops_nothing(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if state == "missing":
        monkeypatch.setattr(sys, "stdout", None)  # as after `>&-`
        log.get_log().info("supervisor.started")
        return
    read, write = os.pipe()
    os.close(read)
    with io.TextIOWrapper(io.FileIO(write, "w"), write_through=True) as stream:
        if state == "closed":
            stream.close()
        monkeypatch.setattr(sys, "stdout", stream)
        log.get_log().info("supervisor.started")
        monkeypatch.undo()


def test_a_value_that_json_does_not_know_is_shown_by_its_representation(capsys: pytest.CaptureFixture[str]) -> None:
    log.get_log().info("config.loaded", path=Path("/etc/caf"))
    (line,) = logged(capsys)
    assert "/etc/caf" in line["path"]


def test_a_flood_is_counted_and_told_at_the_end_and_the_file_has_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with log.kept_in(tmp_path / "caf.log"):
        for number in range(100):
            log.get_log().warning("poll.failed", error=f"no answer within {number} s")
        log.get_log().info("run.accepted", run=490001)
    lines = logged(capsys)
    assert [line["event"] for line in lines] == ["poll.failed"] * 5 + ["run.accepted", "log.repeated"]
    told = lines[-1]
    assert (told["of"], told["count"], told["level"]) == ("poll.failed", 95, "warning")
    assert (told["since"], told["error"]) == (lines[0]["at"], "no answer within 99 s")
    assert [json.loads(line) for line in (tmp_path / "caf.log").read_text().splitlines()] == lines


def test_a_file_that_cannot_be_written_is_logged_once_and_so_is_its_return(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "log"
    with log.kept_in(folder / "caf.log"):
        log.get_log().info("supervisor.ready")
        wait_until(lambda: log.look() is not None, what="the trouble")
        assert log.look() == f"{folder / 'caf.log'}: No such file or directory"
        folder.mkdir()
        wait_until(lambda: log.look() is None, what="its end")
    _, failed, resumed = said = logged(capsys)
    assert (failed["event"], failed["error"]) == ("log.failed", f"{folder / 'caf.log'}: No such file or directory")
    written = [json.loads(line) for line in (folder / "caf.log").read_text().splitlines()]
    assert (resumed["event"], resumed["lost"]) == ("log.resumed", len(said) - len(written))
    assert written == said[-len(written) :]


def test_another_file_is_taken_from_then_on(tmp_path: Path) -> None:
    """As after a change of listeners.toml."""
    with log.kept_in(tmp_path / "one"):
        log.get_log().info("supervisor.ready")
        log.keep_in(tmp_path / "two")
        log.get_log().info("supervisor.stopping")
    for name, event in (("one", "supervisor.ready"), ("two", "supervisor.stopping")):
        assert json.loads((tmp_path / name).read_text())["event"] == event

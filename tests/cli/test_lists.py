"""`runs list`, `jobs list`, `history`: the keys that scripts rely on, filters, and text from outside."""

import re
from pathlib import Path

import pytest

from caf.config import Configuration, parse
from caf.domain.runs import ATTRIBUTES
from tests.cli.pretend import D3PD, HOSTILE, NOW, RAMP, RUNS, Site, a_run, absorb


def numbers(rows: list[dict[str, object]]) -> list[object]:
    return [row["run"] for row in rows]


def test_each_run_has_its_standing_and_every_attribute(site: Site) -> None:
    rows = site.caf("runs", "list", "--json").json()
    assert numbers(rows) == [row["run"] for row in RUNS]
    for row in rows:
        keys = [key for key in row if key != "timing_regime"]
        assert keys == [
            "run",
            "status",
            "listener",
            "needs_validation",
            *(name for name in ATTRIBUTES if name != "run"),
        ]
    first = rows[0]
    assert (first["status"], first["listener"], first["needs_validation"]) == ("ACCEPTED", "Scan", False)
    assert first["start"] == "2023-11-14T19:26:40.000490Z"
    assert first["detector_mask"] == "0x00000000000000000000007c00000000"
    assert first["recorded"] is True
    assert first["events"] == 2000
    assert first["timing_regime"] == "late"


def test_a_list_shows_corrected_values(site: Site) -> None:
    row = site.caf("runs", "list", "--runs", "490002", "--json").json()[0]
    assert row["gain_strategy"] == "CalibGainsEt"
    assert row["needs_validation"] is True


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--status", "open"], [490003]),
        (["--status", "OPEN", "--status", "UNCLAIMED"], [490003, 490005]),
        (["--listener", "Standalone"], [490004]),
        (["--listener", "Nobody"], []),
        (["--runs", "490002-490003,490010"], [490002, 490003, 490010]),
        (["--runs", "99999999999999999999999"], []),
        (["--runs", "490010-99999999999999999999999"], [490010]),
        (["--limit", "2"], [490006, 490010]),
        (["--since", "100w"], []),
        (["--since", "999999999w"], [row["run"] for row in RUNS]),
    ],
)
def test_filters_of_runs(site: Site, words: list[str], expected: list[int]) -> None:
    answer = site.caf("runs", "list", "--json", *words)
    assert (answer.status, numbers(answer.json())) == (0, expected)


def test_unclaimed_runs_are_listed_with_what_they_missed(site: Site) -> None:
    row = site.caf("runs", "list", "--status", "UNCLAIMED", "--json").json()[0]
    assert row["run"] == 490005
    assert row["nearest_miss"] == {
        "listener": "Scan",
        "failed": [{"attribute": "run_type", "operator": "equal", "wanted": "LarCalibL1Calo", "seen": "cismono"}],
        "unknown": [],
    }
    out = site.caf("runs", "list", "--status", "unclaimed").out
    assert "NEAREST MISS" in out
    assert "Scan: run_type is LarCalibL1Calo; seen: cismono" in out
    assert "nearest_miss" not in site.caf("runs", "list", "--json").json()[0]
    assert "NEAREST" not in site.caf("runs", "list").out


def test_open_runs_are_listed_with_what_they_wait_for(site: Site) -> None:
    row = site.caf("runs", "list", "--status", "OPEN", "--json").json()[0]
    miss = row["nearest_miss"]
    assert (row["run"], miss["listener"], miss["failed"]) == (490003, "Scan", [])
    assert miss["unknown"] == [{"attribute": "end", "operator": "known", "wanted": True, "seen": None}]
    out = site.caf("runs", "list", "--status", "OPEN").out
    assert "WAITS FOR" in out
    assert "Scan waits: end is known; seen: not known" in out


def test_a_run_that_is_taken_missed_nothing(site: Site) -> None:
    words = ("runs", "list", "--status", "UNCLAIMED", "--status", "OPEN", "--status", "ACCEPTED")
    found = {row["run"]: row["nearest_miss"] for row in site.caf(*words, "--json").json()}
    assert sorted(run for run, miss in found.items() if miss is not None) == [490003, 490005]
    assert len(found) == len(RUNS)
    assert "NEAREST LISTENER" in site.caf(*words).out


def test_what_was_missed_is_told_by_the_configuration_of_its_day(site: Site) -> None:
    site.config.write_text(site.config.read_text().replace("LarCalibL1Calo", "Another"))
    row = site.caf("runs", "list", "--status", "UNCLAIMED", "--json").json()[0]
    assert row["nearest_miss"]["failed"][0]["wanted"] == "LarCalibL1Calo"


def test_each_configuration_is_read_once_however_many_runs_there_are(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn = site.open()
    absorb(conn, site.folder, tuple(a_run(490100 + n, run_type="cismono") for n in range(50)), NOW)
    conn.close()
    calls = []

    def counting(text: str, path: Path) -> Configuration:
        calls.append(path)
        return parse(text, path)

    monkeypatch.setattr("caf.config.parse", counting)
    assert len(site.caf("runs", "list", "--status", "UNCLAIMED", "--json").json()) == 51
    assert len(calls) == 1


def test_a_configuration_that_cannot_be_read_any_more_costs_the_misses_only(site: Site) -> None:
    conn = site.open()
    conn.execute("UPDATE configuration SET text = 'unknown = 1'")
    conn.close()
    answer = site.caf("runs", "list", "--status", "UNCLAIMED", "--json")
    assert [row["nearest_miss"] for row in answer.json()] == [None]
    assert "configuration 1 is of another version" in answer.err
    assert site.caf("runs", "list", "--status", "UNCLAIMED").out.splitlines()[1].startswith("490005")


def test_each_job_has_the_promised_keys(site: Site) -> None:
    rows = site.caf("jobs", "list", "--json").json()
    assert len(rows) == 9
    for row in rows:
        assert list(row)[:9] == [
            "run", "job", "listener", "state", "result", "attempt", "batch_id", "reason", "updated",
        ]  # fmt: skip
        assert list(row)[9:] == [
            "token", "next_state", "unknown_since", "lost", "not_before", "created", "mark", "acknowledged",
        ]  # fmt: skip
    running = next(row for row in rows if row["state"] == "RUNNING")
    assert running["updated"] == "2023-11-14T22:13:20.000000Z"
    assert (running["run"], running["job"], running["batch_id"], running["result"]) == (490001, RAMP, "4711", None)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--state", "failed"], [(490006, RAMP)]),
        (["--state", "FAILED", "--state", "RUNNING"], [(490001, RAMP), (490006, RAMP)]),
        (["--job", RAMP, "--state", "WAITING"], [(490002, RAMP)]),
        (["--listener", "Standalone"], [(490004, D3PD)]),
        (["--runs", "490010"], [(490010, D3PD), (490010, RAMP)]),
        (["--limit", "1"], [(490010, RAMP)]),
        (["--since", "15m"], []),
    ],
)
def test_filters_of_jobs(site: Site, words: list[str], expected: list[tuple[int, str]]) -> None:
    answer = site.caf("jobs", "list", "--json", *words)
    assert (answer.status, [(row["run"], row["job"]) for row in answer.json()]) == (0, expected)


@pytest.mark.parametrize(
    "words",
    [
        ["runs", "list", "--status", "DONE"],
        ["runs", "list", "--runs", "9-1"],
        ["runs", "list", "--runs", "x"],
        ["runs", "list", "--since", "7"],
        ["runs", "list", "--limit", "0"],
        ["jobs", "list", "--state", "nowhere"],
        ["jobs", "show", "x", RAMP],
        ["jobs", "show", "99999999999999999999", RAMP],
        ["nonsense"],
        ["jobs", "nonsense"],
    ],
)
def test_wrong_usage_is_status_2_and_says_why(site: Site, words: list[str]) -> None:
    answer = site.caf(*words)
    assert answer.status == 2
    assert "Error: " in answer.err


@pytest.mark.parametrize("words", [["runs", "list"], ["jobs", "list"], ["history"]])
def test_without_a_database_lists_are_empty(empty: Site, words: list[str]) -> None:
    assert empty.caf(*words).status == 0
    answer = empty.caf(*words, "--json")
    assert (answer.status, answer.json()) == (0, [])
    assert not empty.state.exists()


@pytest.mark.parametrize(
    "words",
    [["runs", "show", "1"], ["jobs", "show", "1", "X"], ["jobs", "why", "1", "X"], ["listeners", "explain", "1"]],
)
def test_without_a_database_a_show_is_refused(empty: Site, words: list[str]) -> None:
    answer = empty.caf(*words)
    assert (answer.status, answer.out) == (1, "")
    assert "nothing is known yet" in answer.err


@pytest.mark.parametrize(
    "words",
    [
        ["runs", "list"], ["runs", "show", "490004"], ["jobs", "list"], ["jobs", "show", "490006", RAMP],
        ["jobs", "why", "490006", RAMP], ["jobs", "history", "490006", RAMP], ["history"],
        ["listeners", "explain", "490004"],
    ],
)  # fmt: skip
def test_text_from_outside_cannot_command_a_terminal(site: Site, words: list[str]) -> None:
    """Escape sequences, bidirectional overrides and line ends in run types and reasons are made visible."""
    out = site.caf(*words).out
    assert all(c.isprintable() or c == "\n" for c in out)
    assert site.caf(*words).status == 0


def test_json_keeps_text_from_outside_but_escapes_it(site: Site) -> None:
    answer = site.caf("runs", "list", "--runs", "490004", "--json")
    assert answer.json()[0]["run_type"] == HOSTILE
    assert answer.out.isascii()
    assert "\x1b" not in answer.out


@pytest.mark.parametrize("words", [["runs", "list"], ["jobs", "list"], ["history"]])
def test_tables_fit_the_terminal_and_cut_no_name(site: Site, words: list[str]) -> None:
    narrow, wide = site.terminal(80, *words, NO_COLOR="1"), site.terminal(140, *words, NO_COLOR="1")
    assert max(map(len, narrow)) <= 80
    assert max(map(len, wide)) <= 140
    assert len(narrow) == len(wide)
    if words != ["runs", "list"]:
        assert sum(RAMP in line for line in narrow) >= 4
        assert max(map(len, wide)) > 80


def test_a_terminal_that_does_not_know_its_width_is_taken_for_80_columns(site: Site) -> None:
    assert site.terminal(0, "jobs", "list") == site.terminal(80, "jobs", "list")


def test_an_empty_list_says_so_to_a_person_and_nothing_to_a_program(site: Site) -> None:
    for words, says in (
        (("jobs", "list", "--state", "CANCELLED"), "no jobs"),
        (("runs", "list", "--runs", "1-2"), "no runs"),
        (("history", "--run", "1"), "no changes"),
    ):
        assert site.terminal(80, *words) == [says]
        assert site.caf(*words).out == ""


def test_no_help_shows_a_number_that_nobody_types(site: Site) -> None:
    for words in (("logs",), ("history",), ("jobs", "list"), ("runs", "list")):
        answer = site.caf(*words, "--help").out
        assert "9223372036854775807" not in answer
        assert "Usage: caf" in answer
    for wrong in ("-1", "x", "9" * 20):
        assert site.caf("history", "--run", wrong).status == 2


def test_what_goes_into_a_pipe_is_not_cut(site: Site) -> None:
    """There it is searched: one whole line a job."""
    lines = site.caf("jobs", "list").out.splitlines()
    rows = site.caf("jobs", "list", "--json").json()
    assert len(lines) == 1 + len(rows)
    for line, row in zip(lines[1:], rows, strict=True):
        assert line.endswith(row["reason"] if row["state"] != "FAILED" else "log ends: Phys\ufffd[31mics\ufffd\ufffd")


def test_the_result_is_told_of_jobs_that_failed(site: Site) -> None:
    out = site.caf("jobs", "list").out
    assert re.search(r"FAILED +exit_code ", out)
    assert re.search(r"RUNNING +- ", out)


def test_what_another_column_implies_is_left_out_where_reasons_would_be_cut_short(site: Site) -> None:
    narrow, wide = site.terminal(80, "jobs", "list"), site.terminal(140, "jobs", "list")
    assert "RESULT" in wide[0]
    assert "RESULT" not in narrow[0]
    assert not any("exit_code" in line for line in narrow)


def test_the_audit_trail_is_filtered_and_ends_with_the_newest(site: Site) -> None:
    rows = site.caf("history", "--run", "490006", "--job", RAMP, "--json").json()
    assert [row["became"] for row in rows] == ["NEW", "PREPARED", "SUBMITTING", "RUNNING", "FINISHED", "FAILED"]
    assert rows[-1]["at"] == "2023-11-14T22:13:20.000000Z"
    assert site.caf("history", "--limit", "1", "--json").json()[0]["run"] == 490010
    assert site.caf("jobs", "history", "490006", RAMP, "--json").json() == rows

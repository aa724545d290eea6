"""Rounds of the report duty: what changed is written, and nothing else; no reader finds half of anything."""

import json
import re
import time
from pathlib import Path

from caf.domain.jobs import Result, State, Word
from caf.store import jobs, pages
from caf.store.pages import BLOCKS
from tests.report.press import CONFIGURATION, D3PD, DONE, FAILED, NOW, RAMP, Press, a_run, at_press
from tests.report.whole import around


def names(press: Press) -> set[str]:
    return {path.name for path in (press.www / "data").iterdir()}


def contents(press: Press) -> dict[str, bytes]:
    return {str(path.relative_to(press.www)): path.read_bytes() for path in press.www.rglob("*") if path.is_file()}


def test_the_first_round_writes_all_that_there_is(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100), a_run(490101), a_run(490102, run_type="cismono"))
        await press.lead(490100, RAMP, *DONE)
        await press.report()
        index = press.index()
        rows = [row for entry in index["jobs"] for row in press.data(entry["name"])["rows"]]
        assert [(row[0], row[1], row[3]) for row in rows] == [
            (490101, D3PD, "NEW"),
            (490101, RAMP, "NEW"),
            (490100, D3PD, "NEW"),
            (490100, RAMP, "DONE"),
        ]
        listed = [row[:2] for entry in index["runs"] for row in press.data(entry["name"])["rows"]]
        assert listed == [[490102, "UNCLAIMED"], [490101, "ACCEPTED"], [490100, "ACCEPTED"]]
        assert press.run(490100)["jobs"][0]["state"] == "DONE"
        assert press.run(490102)["jobs"] == []
        assert {"index.html", "page.js", "page.css", "status.js", "caf.prom"} <= {
            path.name for path in press.www.iterdir()
        }

    at_press(tmp_path, scene)


def test_a_round_with_nothing_new_writes_the_status_alone(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100))
        await press.report()
        before = contents(press)
        press.clock[0] += 60
        done = await press.report()
        changed = {name for name, data in contents(press).items() if before.get(name) != data}
        assert changed == {"index.html", "status.js", "status.json", "caf.prom"}  # each says when it was written
        assert done.summary() is None
        assert before.keys() == contents(press).keys()

    at_press(tmp_path, scene)


def test_a_change_is_written_to_its_own_files_only(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(*(a_run(490100 + 100 * number) for number in range(10)))
        await press.report()
        before = names(press)
        await press.database.call(jobs.act, 490500, D3PD, Word.HOLD, press.clock[0], "anna", "later")
        await press.report()
        new = {name.rpartition("-")[0] for name in names(press) - before}
        block = 490500 // BLOCKS["details"]
        assert new == {"index", "trail", "jobs-0", f"runs-{490500 // BLOCKS['runs']}", f"details-{block}"}
        assert press.run(490500)["history"][-1][-2:] == ["WAITING", "hold by anna: later"]

    at_press(tmp_path, scene)


def test_the_sizes_of_blocks_are_those_that_the_triggers_reckon_with(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        (tables,) = await press.database.call(
            lambda conn: conn.execute(
                "SELECT group_concat(sql, ' ') FROM sqlite_master WHERE type = 'trigger'"
            ).fetchone()
        )
        assert set(re.findall(r"NEW\.id / (\d+)", tables)) == {str(BLOCKS["jobs"])}
        assert set(re.findall(r"'runs', NEW\.run / (\d+)", tables)) == {str(BLOCKS["runs"])}
        assert set(re.findall(r"'details', NEW\.run / (\d+)", tables)) == {str(BLOCKS["details"])}
        assert set(re.findall(r"SELECT run / (\d+)", tables)) == {str(BLOCKS["details"])}

    at_press(tmp_path, scene)


def test_a_change_while_its_block_is_written_is_not_lost(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100))
        seen = await press.database.call(pages.due, 100)
        await press.database.call(jobs.act, 490100, RAMP, Word.HOLD, press.clock[0], "anna", "later")
        await press.database.call(pages.wrote, [pages.Written(one, "x", "{}") for one in seen])
        left = await press.database.call(pages.due, 100)
        assert {one.kind for one in left} == {"jobs", "runs", "details"}

    at_press(tmp_path, scene)


def test_very_many_runs_taken_over_at_once_are_shown_too(tmp_path: Path) -> None:
    """They are written past the triggers."""

    async def scene(press: Press) -> None:
        old = NOW - 40 * 86_400  # settled, and so taken over in bulk
        await press.absorb(*(a_run(495_000 + number, old) for number in range(1200)))
        while (await press.report()).again_in is not None:
            pass
        assert sum(entry["status"]["ACCEPTED"] for entry in press.index()["runs"]) == 1200

    at_press(tmp_path, scene)


def test_of_runs_that_nobody_takes_only_the_newest_are_shown(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(
            a_run(490_050, run_type="x"), a_run(490_051), *(a_run(490100 + n, run_type="x") for n in range(4))
        )
        await press.report()
        shown = {row[0] for entry in press.index()["runs"] for row in press.data(entry["name"])["rows"]}
        assert shown == {490_051, 490101, 490102, 490103}

    at_press(tmp_path, scene, (CONFIGURATION + "runs = 3\n"))


def test_every_status_leads_to_data_that_are_there_whenever_it_is_read(tmp_path: Path) -> None:
    """A reader between any two files being written finds one generation or the next."""

    async def scene(press: Press) -> None:
        await press.absorb(*(a_run(490100 + number) for number in range(40)))
        await press.report()
        publish, looks = press.house.files.call, []

        async def looking(name: str, *args: object, **more: object) -> object:
            looks.append(whole(press))
            found = await publish(name, *args, **more)  # type: ignore[arg-type]  # passed on as it is
            looks.append(whole(press))
            return found

        press.house.files.call = looking  # type: ignore[method-assign]  # to look between the calls
        for number in range(5):
            await press.database.call(jobs.act, 490100 + number, RAMP, Word.HOLD, press.clock[0], "anna", "later")
            await press.report()
        assert all(looks)
        assert len(looks) > 20

    at_press(tmp_path, scene)


def whole(press: Press) -> bool:
    """Read all that the status leads to."""
    index = press.index()
    for entry in [*index["jobs"], *index["runs"]]:
        press.data(entry["name"])
    for kind in ("details", "configurations"):
        for number, total in index[kind].items():
            press.data(f"{kind}-{number}-{total}")
    return all(press.data(name)["version"] == 1 for name in index["others"].values())


def test_scripts_hold_what_the_json_holds(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100))
        await press.report()
        for path in [*(press.www / "data").glob("*.json"), press.www / "status.json"]:
            script = path.with_suffix(".js").read_text()
            assert script.startswith(f'caf("{path.stem}",')
            assert script.endswith(");\n")
            assert json.loads(script.partition(",")[2].removesuffix(");\n")) == json.loads(path.read_text())

    at_press(tmp_path, scene)


def test_what_somebody_removed_is_written_again(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100))
        await press.report()
        before = contents(press)
        for path in [*(press.www / "data").iterdir(), press.www / "page.js"]:
            path.unlink()
        first = await press.report()
        assert first.again_in is not None
        await press.report()
        assert contents(press).keys() == before.keys()
        assert whole(press)

    at_press(tmp_path, scene)


def test_files_that_nothing_leads_to_go_after_two_looks(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100))
        await press.report()
        old = names(press)
        await press.database.call(jobs.act, 490100, RAMP, Word.HOLD, press.clock[0], "anna", "later")
        await press.report()
        for _ in range(2):
            assert old < names(press)
            press.clock[0] += 3700
            await press.report()
        assert not {name for name in old if name.startswith(("jobs", "details", "index"))} & names(press)
        assert whole(press)

    at_press(tmp_path, scene)


def test_after_a_restart_nothing_is_written_anew(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100))
        await press.report()
        before = {name: data for name, data in contents(press).items() if "data/" in name}
        press.reporter = type(press.reporter)()
        done = await press.report()
        assert done.files == 0
        assert {name: data for name, data in contents(press).items() if "data/" in name} == before

    at_press(tmp_path, scene)


def test_without_the_table_nothing_is_done(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        assert (await press.report()).summary() is None
        assert not (tmp_path / "www").exists()

    at_press(tmp_path, scene, CONFIGURATION.replace("[report]\n", ""))


def test_what_needs_a_person_is_told_with_what_can_be_typed(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100, recorded_events=12), a_run(490101))
        await press.lead(490101, RAMP, *FAILED, result=Result.LOG, why="the log lacks it")
        await press.lead(490101, D3PD, State.PREPARED, State.SUBMITTING)
        doubt = "UPDATE job SET unknown_since = ? WHERE run = 490101 AND job = ?"
        await press.database.call(lambda conn: conn.execute(doubt, (NOW - 86_400, D3PD)).close())
        await press.report()
        asking = press.status()["asking"]
        assert asking["waiting"][0]["commands"] == [f"caf jobs start 490100 {RAMP}", f"caf jobs reject 490100 {RAMP}"]
        assert [(one["result"], one["reason"]) for one in asking["failed"]] == [("log", "the log lacks it")]
        assert asking["unknown"][0]["commands"][-1] == f"caf jobs lost 490101 {D3PD} --reason TEXT"
        assert {need["what"] for need in press.status()["needs"]} == {"waiting", "failed", "unknown"}

    at_press(tmp_path, scene)


def test_what_was_removed_since_a_disk_was_measured_is_told(tmp_path: Path) -> None:
    """Else the page goes on to show it full after it was cleaned; how much there is now the next round measures."""

    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100))
        await press.lead(490100, RAMP, *DONE)
        await press.database.call(around)
        await press.report()
        assert [one["told"] for one in press.status()["disks"][:2]] == [
            "full in 8 d as things go",
            "never full as things go",
        ]
        gone = (
            "UPDATE area SET sizes = 250000000000, disk = 260000000000, files = 70, planned = ?1, begun = ?1, "
            "removed = ?1, why = 'full'"
        )
        await press.database.call(lambda conn: conn.execute(gone, (NOW - 30,)).close())
        await press.report()
        assert [one["told"] for one in press.status()["disks"][:2]] == [
            "full in 8 d as things go; 250 GB removed since it was measured",
            "never full as things go; 70 files removed since it was measured",
        ]

    at_press(tmp_path, scene)


def test_a_conflict_names_the_listeners_that_would_take_the_run(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100, run_type="Physics"))
        await press.report()
        (one,) = press.status()["asking"]["conflict"]
        assert one["reason"] == "taken by Any and Standalone"
        assert one["commands"][0] == "caf runs assign 490100 Any --reason TEXT"

    overlapping = (
        '[listeners.Any]\nmatch = { partition = "L1CaloCombined", run_type = "Physics" }\n[listeners.Standalone]\n'
    )
    text = CONFIGURATION.replace("[listeners.Standalone]\n", overlapping).replace('["L1CaloEnergyScan"]', '["none"]')
    at_press(tmp_path, scene, text)


def test_a_listener_without_a_good_calibration_for_too_long_is_an_alarm(tmp_path: Path) -> None:
    async def scene(press: Press) -> None:
        await press.absorb(a_run(490100, NOW - 3 * 86_400), a_run(490101, NOW - 86_400))
        await press.lead(490100, RAMP, *DONE)
        await press.report()
        assert press.status()["listeners"][0]["run"] == 490100
        assert not press.status()["listeners"][0]["late"]
        press.clock[0] = NOW + 12 * 86_400
        await press.report()
        (need,) = [one for one in press.status()["needs"] if one["what"] == "calibration"]
        assert need["text"].startswith("LArEnergyScan: no good calibration for 15 d, since run 490100")
        await press.lead(490101, RAMP, *DONE)
        await press.database.call(
            lambda conn: conn.execute(
                "UPDATE job SET mark = 'bad', marked = 'x' WHERE run = 490101 AND state = 'DONE'"
            ).close()
        )
        await press.report()
        assert press.status()["listeners"][0]["run"] == 490100, "a result that is marked bad is no good calibration"

    at_press(tmp_path, scene)


def test_a_round_over_a_long_history_costs_what_has_changed(tmp_path: Path) -> None:
    """Counted in rows that SQLite visits, so that no clock decides: see docs/figures.md for times."""

    async def scene(press: Press) -> None:
        await press.database.call(lambda conn: conn.execute("PRAGMA synchronous = OFF").close())
        old = NOW - 40 * 86_400
        await press.absorb(*(a_run(495_000 + number, old) for number in range(1500)))
        while (await press.report()).again_in is not None:
            pass
        spent = []
        for _ in range(3):
            press.clock[0] += 60
            begun = time.process_time()
            await press.report()
            spent.append(time.process_time() - begun)
        assert min(spent) < 0.05

    at_press(tmp_path, scene)

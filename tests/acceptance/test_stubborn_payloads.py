"""Payloads that hide, ignore or destroy what caf knows them by: another attempt waits until they are gone."""

from pathlib import Path

import pytest

from tests.world import World, wait_until

HIDES, IGNORES, DESTROYS, LINKS = RUNS = (490001, 490002, 490003, 490004)

# The first attempt notes its process and stays; the second one notes if that is still there.
BODY = """
pid={folder}/$CAF_RUN.pid
if [ "$CAF_ATTEMPT" -gt 1 ]; then
    # A zombie is dead: where nobody reaps orphans it stays for ever.
    if grep -q '^State:.[^ZX]' "/proc/$(cat "$pid")/status" 2>/dev/null; then echo "$CAF_RUN" >>{folder}/overlap; fi
else
    case $CAF_RUN in
    490001) echo $$ >"$pid"; exec env -i sleep 300 ;;
    490002) (trap "" TERM; exec sleep 300) & echo $! >"$pid"; wait; exit 3 ;;
    490003) echo $$ >"$pid"; rm -rf ./*; exec sleep 300 ;;
    490004) echo $$ >"$pid"; ln -s exit exit; exec sleep 300 ;;
    esac
fi
"""


@pytest.mark.campaign
@pytest.mark.timeout(120)
def test_no_attempt_begins_while_something_of_the_last_one_lives(tmp_path: Path) -> None:
    """It clears its environment, ignores TERM, removes its own claim and records, or makes them unreadable."""
    world = World(tmp_path, RUNS, slots=4, body=BODY.format(folder=tmp_path))
    process = world.supervisor()
    try:
        wait_until(lambda: all((tmp_path / f"{run}.pid").exists() for run in RUNS), what="the first attempts")
        wait_until(lambda: {job[0] for job in world.jobs().values()} == {"RUNNING"}, what="RUNNING")
        for run in RUNS:
            world.caf("jobs", "reset", str(run), "Fit")
        wait_until(lambda: all(job[0] == "DONE" for job in world.jobs().values()), 60, "the second attempts")
        assert world.jobs() == dict.fromkeys(RUNS, ("DONE", "ok", 2))
        assert not (tmp_path / "overlap").exists(), (tmp_path / "overlap").read_text()
    finally:
        world.stop(process)
        world.end_payloads()


@pytest.mark.campaign
def test_work_is_not_moved_away_under_running_jobs(tmp_path: Path) -> None:
    """Their claims are in the old folder: with --take-over too, nothing may be begun in another."""
    world = World(tmp_path, [490001], body="sleep 300")
    try:
        world.caf("run", "--once")
        world.config.write_text(world.config.read_text().replace("[caf]\n", '[caf]\nwork = "elsewhere"\n'))
        refused = world.caf("run", "--once", "--take-over", check=False)
        assert refused.returncode == 1
        assert "jobs are out in" in refused.stderr
        assert not (tmp_path / "elsewhere").exists()
    finally:
        world.end_payloads()

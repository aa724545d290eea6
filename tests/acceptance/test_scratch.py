"""Scratch and copies with the real program: what comes back decides, and nothing stays on the node."""

import json
from pathlib import Path

from tests.world import World, wait_until

GOOD, LACKS, FAILS = 490001, 490002, 490003
COPY = '{ "root/out" = "root/out", "plots/*.txt" = "post/", "Gains" = "root/Gains_{run:08d}.txt" }'
JOB = f"scratch = true\ncopy = {COPY}\n"
BODY = f"""pwd >>Gains; mkdir plots; echo a >plots/a.txt; echo b >'plots/b c.txt'
test $CAF_RUN != {LACKS} || rm Gains
test $CAF_RUN != {FAILS} || exit 3"""


def test_outputs_come_back_and_what_does_not_is_the_reason(tmp_path: Path) -> None:
    world = World(tmp_path, [GOOD, LACKS, FAILS], body=BODY, job=JOB).quick()
    (tmp_path / "node").mkdir()
    with world.running(environment={"TMPDIR": str(tmp_path / "node")}) as process:
        wait_until(lambda: {world.state(run) for run in (GOOD, LACKS, FAILS)} == {"DONE", "FAILED"}, what="all ends")
        wait_until(lambda: list((tmp_path / "node").iterdir()) == [], 10, "an empty scratch")
        assert world.stop(process) == 0
    reasons = dict(world.query("SELECT run, reason FROM job"))
    assert world.jobs()[GOOD] == ("DONE", "ok", 1)
    assert world.jobs()[LACKS] == ("FAILED", "outputs", 1)
    assert reasons[LACKS].startswith(f"not brought back: Gains to root/Gains_{LACKS:08d}.txt: it is not there")
    assert world.jobs()[FAILS] == ("FAILED", "exit_code", 1)  # whatever could not be copied then
    area = tmp_path / "work" / f"{GOOD}_Fit" / "1"
    assert sorted(path.name for path in (area / "post").iterdir()) == ["a.txt", "b c.txt"]
    ((token,),) = world.query("SELECT token FROM job WHERE run = ?", GOOD)
    assert (area / f"root/Gains_{GOOD:08d}.txt").read_text() == f"{tmp_path}/node/{token}\n"
    assert not (area / "Gains").exists()
    facts = json.loads((area / "job.json").read_text())
    assert facts["scratch"] is True
    assert facts["copy"]["Gains"] == f"root/Gains_{GOOD:08d}.txt"
    why = " ".join(world.caf("jobs", "why", str(LACKS), "Fit", check=False).stdout.split())
    assert "not brought back: Gains" in why


def test_a_job_that_is_killed_leaves_nothing_on_the_node(tmp_path: Path) -> None:
    world = World(tmp_path, [GOOD], body="echo gains >Gains; sleep 300", job=JOB).quick()
    (tmp_path / "node").mkdir()
    with world.running(environment={"TMPDIR": str(tmp_path / "node")}) as process:
        wait_until(lambda: list((tmp_path / "node").glob("*/Gains")) != [], what="the payload")
        world.caf("jobs", "kill", str(GOOD), "Fit", "--reason", "not needed")
        wait_until(lambda: world.state(GOOD) == "CANCELLED", what="its end")
        assert list((tmp_path / "node").iterdir()) == []
        assert world.stop(process) == 0
    assert (tmp_path / "work" / f"{GOOD}_Fit" / "1" / f"root/Gains_{GOOD:08d}.txt").read_text() == "gains\n"

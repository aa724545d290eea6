"""What the real supervisor has to do with every batch system of a site, as one suite.

A test file for one has the fixtures `site` and, for what takes long, `own_site`, for which nobody else waits.

The last test is a campaign: everything that can be killed or made to hang is, at random, until all jobs have ended.
With CAF_CAMPAIGN=long it goes on for five times as long, with five times as many jobs.
"""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.world import FINAL, World, wait_until

RUNS = [490001, 490002, 490003]
LONG = 5 if os.environ.get("CAF_CAMPAIGN") == "long" else 1
MORE = 6  # jobs that a campaign goes on with while something has not happened yet
HAVOC = 20.0 * LONG  # s for which everything is done to them; then less, for as long as something has not happened
SELDOM = 0.2
AT_MOST = 240 * LONG  # s

Deed = Callable[["Site", random.Random], Mapping[str, int]]


@dataclass
class Site:
    """A batch system that a supervisor is to use, and what is known of it from outside.

    `room` makes a folder that nodes see; `stranger` hands over a job that is none of caf's, and gives its id;
    `accepted` tells the ids of all jobs that were ever taken, by their names; `submitting` gives the processes of
    submissions under way. `deeds` are done to it in a campaign, again and again, and tell what came of that.
    """

    kind: str
    room: Callable[[], Path]
    stranger: Callable[[], str]
    accepted: Callable[[], Mapping[str, set[str]]]
    submitting: Callable[[], Sequence[int]]
    stop: Callable[[], None]
    go_on: Callable[[], None]
    deeds: Sequence[Deed] = ()
    calm: Callable[[], None] = lambda: None
    killed: set[int] = field(default_factory=set)

    def world(self, runs: Sequence[int], *, timeout: str = "4s", **options: str | int) -> World:
        world = World(self.room(), runs, **options)  # type: ignore[arg-type]  # World says what it takes
        world.edit('kind = "local"', f'kind = "{self.kind}"\nclient_timeout = "{timeout}"')
        return world


def all_ended(world: World) -> bool:
    jobs = world.jobs()
    return len(jobs) == len(world.runs) and all(state in FINAL for state, _, _ in jobs.values())


def kill_some(pids: Sequence[int], dice: random.Random, chance: float) -> int:
    """Kill each of them by chance; gives how many."""
    killed = 0
    for pid in pids:
        if dice.random() < chance:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
    return killed


def kill_submissions(site: Site, dice: random.Random) -> Mapping[str, int]:
    """Have submissions under way killed, one in two."""
    new = [pid for pid in site.submitting() if pid not in site.killed]
    site.killed.update(new)
    return {"submission killed": kill_some(new, dice, 0.5)}


def hang(site: Site, dice: random.Random) -> Mapping[str, int]:
    """Now and then have the server take connections and not answer for a while, with submissions that are killed."""
    if dice.random() > 0.2:
        return {}
    site.stop()
    done, end = Counter({"server hung": 1}), time.monotonic() + dice.uniform(0.5, 4.0)

    def over() -> bool:
        done.update(kill_submissions(site, dice))
        return time.monotonic() > end

    try:
        wait_until(over, what="the end of the hang")
    finally:
        site.go_on()
    return done


def havoc(world: World, site: Site, dice: random.Random, wanted: Sequence[str]) -> Counter[str]:
    """Let the supervisor work, and be killed, for a while and until everything that is wanted has happened.

    Then all jobs are to end.
    """
    done: Counter[str] = Counter()
    process = world.supervisor()
    begun = time.monotonic()
    while time.monotonic() < begun + AT_MOST:
        if all(done[name] for name in wanted) and (time.monotonic() > begun + HAVOC or all_ended(world)):
            break
        if all_ended(world):
            world.add_runs(range(world.runs[-1] + 1, world.runs[-1] + 1 + MORE))
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=dice.uniform(0.0, 1.0))
        if time.monotonic() > begun + HAVOC and dice.random() > SELDOM:
            continue
        if process.poll() is not None or dice.random() < 0.2:
            process.kill()
            process.wait()
            process = world.supervisor()
            done["supervisor killed"] += 1
        for deed in site.deeds:
            done.update(deed(site, dice))
    site.calm()
    if process.poll() is not None:
        process = world.supervisor()
    wait_until(lambda: all_ended(world), 120, f"the end of all jobs after {done}")
    assert world.stop(process) == 0
    return done


class Supervised:
    """For every batch system of a site."""

    jobs = 24
    wanted: tuple[str, ...] = ("supervisor killed", "submission killed", "server hung")

    def test_the_probe_proves_both_ways_and_leaves_nothing(self, site: Site) -> None:
        world = site.world(RUNS)
        said = " ".join(world.caf("check", "--probe").stdout.split())
        assert "probe: a job on" in said
        assert f"saw what this machine wrote in {world.folder}/work, and its answer came in" in said
        assert not (world.folder / "work").exists()

    def test_only_the_attempts_own_id_is_adopted(self, site: Site) -> None:
        """Whose an id is the batch system tells; where it does not answer nothing is adopted."""
        world = site.world(RUNS[:1], body="exec sleep 600")

        def adopt(batch_id: str, status: int) -> str:
            done = world.caf("jobs", "adopt", str(RUNS[0]), "Fit", batch_id, check=False)
            assert done.returncode == status, done.stdout + done.stderr
            return " ".join((done.stdout + done.stderr).split())

        with world.running():
            wait_until(lambda: world.state(RUNS[0]) == "RUNNING", 60, "the job")
            ((token, own),) = world.query("SELECT token, batch_id FROM job")
            other = site.stranger()
            said = adopt(other, 1)
            assert f"{other} is not this attempt's but " in said
            assert f"so nothing was changed; its token is {token}" in said
            assert f"{site.kind} knows of no job 99999999, or no more" in adopt("99999999", 1)
            site.stop()
            try:
                said = adopt(own, 1)
            finally:
                site.go_on()
            assert f"whose {own} is cannot be told, so nothing was changed" in said
            assert "did not answer within 4 s" in said
            assert f"once it answers: `caf jobs adopt {RUNS[0]} Fit {own}`" in said
            assert world.query("SELECT batch_id, adopted FROM job") == [(own, None)]
            assert f"is RUNNING as {own}, and followed on" in adopt(own, 0)
            world.caf("jobs", "kill", str(RUNS[0]), "Fit", "--reason", "enough")
            wait_until(lambda: world.state(RUNS[0]) == "CANCELLED", 60, "its end")

    @pytest.mark.campaign
    @pytest.mark.timeout(AT_MOST + 180)
    def test_every_payload_starts_exactly_once_and_every_accepted_job_is_adopted(self, own_site: Site) -> None:
        """The server hangs, submissions and the supervisor are killed, and what else a batch system has; at random."""
        runs = range(490001, 490001 + self.jobs * LONG)
        world = self.campaign_world(own_site, runs)
        done = havoc(world, own_site, random.Random(20150601), self.wanted)
        print(f"what happened to {len(world.runs)} jobs: {dict(done)}")
        assert {name for name in self.wanted if not done[name]} == set(), done
        assert {run: job[:2] for run, job in world.jobs().items()} == dict.fromkeys(world.runs, ("DONE", "ok"))
        assert set(world.starts().values()) == {1}
        check_tokens(world, own_site.accepted())
        self.check_more(world)

    def campaign_world(self, site: Site, runs: Sequence[int]) -> World:
        return site.world(runs, body="sleep 0.$(($CAF_RUN % 7 + 2))", slots=8, caf='submit_grace = "2s"')

    def check_more(self, world: World) -> None:
        """Check that no run was tried twice: nothing here ends a job but its payload."""
        assert world.runs_started() == dict.fromkeys(world.runs, 1)


def check_tokens(world: World, accepted: Mapping[str, set[str]]) -> None:
    """Whatever was accepted is an attempt's, and either started its payload or never can."""
    attempts = {token: rest for token, *rest in world.query("SELECT token, job_id, attempt, batch_id FROM attempt")}
    ours = {token for token in accepted if token.startswith(next(iter(attempts)).rsplit("-", 3)[0])}
    assert ours
    assert ours <= attempts.keys()
    starts = world.starts()
    for token, (job_id, attempt, batch_id) in attempts.items():
        if token in starts:
            assert batch_id in accepted[token]
            continue
        ((run, job),) = world.query("SELECT run, job FROM job WHERE id = ?", job_id)
        area = world.folder / "work" / f"{run}_{job}" / str(attempt)
        assert (area / "claim" / "revoked").exists() or token not in accepted

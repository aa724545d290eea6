"""The credentials duty on a clock that tests set; the commands are real programs."""

import os
import shlex
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from caf import attention
from caf.attention import Need
from caf.config import parse
from caf.domain.errors import CredentialsError
from caf.tasks import credentials
from caf.tasks.credentials import Renewed
from tests.tasks.stage import NOW, Stage, play
from tests.world import World, wait_until

RUN = 490001
MINUTE, HOUR = 60.0, 3600.0

KLIST = """#!/bin/sh
cat <<END
Default principal: calib@CAF.TEST

01/15/27 08:00:00  $(cat {folder}/end)  krbtgt/CAF.TEST@CAF.TEST
END
"""
KINIT = """#!/bin/sh
echo once >>{folder}/asked
[ ! -e {folder}/words ] || {{ cat {folder}/words >&2; exit 1; }}
cp {folder}/asked "${{KRB5CCNAME#FILE:}}"
"""


class Kerberos:
    """What kinit and klist pretend: when the ticket ends, and what goes wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "kerberos"
        self.folder.mkdir()
        for name, text in (("kinit", KINIT), ("klist", KLIST)):
            (self.folder / name).write_text(text.format(folder=self.folder))
            (self.folder / name).chmod(0o755)
        self.ends("01/15/27 18:00:00")  # ten hours after NOW

    def ends(self, when: str) -> None:
        (self.folder / "end").write_text(when)

    def says(self, words: str | None) -> None:
        """Have kinit fail with these words; None: succeed."""
        (self.folder / "words").write_text(words or "")
        if words is None:
            (self.folder / "words").unlink()

    @property
    def asked(self) -> int:
        """How often kinit was run."""
        asked = self.folder / "asked"
        return len(asked.read_text().splitlines()) if asked.exists() else 0


@pytest.fixture
def kerberos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kerberos:
    made = Kerberos(tmp_path)
    monkeypatch.setenv("PATH", f"{made.folder}:{os.environ['PATH']}")
    return made


def rehearse(tmp_path: Path, scene: Callable[[Stage], Awaitable[None]], more: str = "") -> None:
    world = World(tmp_path, [RUN])
    with world.config.open("a") as file:
        file.write(f"\n[credentials]\nrenew = ['kinit']\n{more}")

    async def act(stage: Stage) -> None:
        stage.house.state = tmp_path / "state"
        await scene(stage)

    play(world, act)


async def after(stage: Stage, seconds: float) -> Renewed:
    stage.clock[0] += seconds
    return await credentials.run_once(stage.house)


async def fails(stage: Stage, seconds: float) -> str:
    with pytest.raises(CredentialsError) as caught:
        await after(stage, seconds)
    return str(caught.value)


async def needs(stage: Stage) -> list[Need]:
    found = await stage.house.database.call(attention.needs, stage.clock[0], "this process", None)
    return [need for need in found if need.what == "credentials"]


def test_a_ticket_is_renewed_at_the_interval(tmp_path: Path, kerberos: Kerberos) -> None:
    async def scene(stage: Stage) -> None:
        done = await after(stage, 0)
        assert (done.summary(), done.again_in) == ("renewed, good until 2027-01-15 18:00 UTC", 2 * HOUR)
        early = await after(stage, HOUR)
        assert (early.summary(), early.again_in, kerberos.asked) == (None, HOUR, 1)
        kerberos.ends("01/15/27 20:00:00")
        assert (await after(stage, HOUR)).done
        assert kerberos.asked == 2
        assert (tmp_path / "state" / "credentials" / "krb5cc").read_text() == "once\n" * 2
        assert await needs(stage) == []

    rehearse(tmp_path, scene, 'every = "2h"')


def test_a_ticket_is_renewed_before_it_ends_however_long_the_interval_is(tmp_path: Path, kerberos: Kerberos) -> None:
    async def scene(stage: Stage) -> None:
        kerberos.ends("01/15/27 08:00:30")
        assert (await after(stage, 0)).again_in == 20.0
        assert not (await after(stage, 19)).done
        assert (await after(stage, 1)).done

    rehearse(tmp_path, scene)


def test_a_ticket_whose_end_is_not_known_is_renewed_at_the_interval(tmp_path: Path, kerberos: Kerberos) -> None:
    async def scene(stage: Stage) -> None:
        kerberos.ends("some day")
        done = await after(stage, 0)
        assert (done.summary(), done.again_in) == ("renewed", 8 * HOUR)

    rehearse(tmp_path, scene)


def test_a_kdc_that_is_away_for_minutes_asks_for_nobody_while_the_ticket_is_good(
    tmp_path: Path, kerberos: Kerberos
) -> None:
    async def scene(stage: Stage) -> None:
        await after(stage, 0)
        kerberos.says("kinit: Cannot contact any KDC for realm 'CAF.TEST' while getting initial credentials")
        told = await fails(stage, 2 * HOUR)
        assert told.startswith("no KDC answers (kinit: Cannot contact any KDC")
        assert await needs(stage) == []
        await fails(stage, 800)
        assert await needs(stage) == []
        await fails(stage, 200)
        (need,) = await needs(stage)
        assert (need.critical, need.command) == (False, "caf check")
        assert need.text.endswith("by itself; the ticket in use is good until 2027-01-15 18:00 UTC")
        assert need.text.startswith("credentials cannot be renewed since 2027-01-15 10:00 UTC: no KDC")
        assert kerberos.asked == 4
        stage.clock[0] = NOW + 9.8 * HOUR  # the ticket's last minutes
        assert [need.critical for need in await needs(stage)] == [True]
        stage.clock[0] = NOW + 11 * HOUR
        assert "the ticket in use ended 2027-01-15 18:00 UTC" in (await needs(stage))[0].text
        kerberos.says(None)
        kerberos.ends("01/16/27 18:00:00")
        assert (await after(stage, 0)).done
        assert await needs(stage) == []

    rehearse(tmp_path, scene, 'every = "2h"')


def test_what_does_not_pass_by_itself_asks_at_once_and_is_tried_rarely(tmp_path: Path, kerberos: Kerberos) -> None:
    """Realms lock an account after some wrong keys."""

    async def scene(stage: Stage) -> None:
        await after(stage, 0)
        kerberos.says("kinit: Password incorrect while getting initial credentials")
        first = await fails(stage, 8 * HOUR)
        assert "make a new keytab" in first
        assert len(await needs(stage)) == 1
        for _ in range(9):
            assert await fails(stage, MINUTE) == first
        assert kerberos.asked == 2
        await fails(stage, MINUTE)
        assert kerberos.asked == 3

    rehearse(tmp_path, scene)


def test_a_corrected_command_is_tried_at_once(tmp_path: Path, kerberos: Kerberos) -> None:
    async def scene(stage: Stage) -> None:
        kerberos.says("kinit: Key table file '/none' not found while getting initial credentials")
        await fails(stage, 0)
        (need,) = await needs(stage)
        assert need.critical  # there never was a ticket
        kerberos.says(None)
        text = stage.world.config.read_text().replace("['kinit']", "['kinit', '-k']")
        stage.house.configuration = parse(text, stage.world.config)
        assert (await after(stage, 0)).done

    rehearse(tmp_path, scene)


def test_a_second_command_that_fails_is_told_apart_and_tried_again(tmp_path: Path, kerberos: Kerberos) -> None:
    async def scene(stage: Stage) -> None:
        told = await fails(stage, 0)
        assert told.startswith("the ticket is good, but the command after it failed (false:): try it by hand")
        assert (tmp_path / "state" / "credentials" / "krb5cc").exists()
        await fails(stage, 10)
        assert kerberos.asked == 2

    rehearse(tmp_path, scene, "after = ['false']")


def test_a_clock_that_was_set_back_does_not_put_a_renewal_off(tmp_path: Path, kerberos: Kerberos) -> None:
    async def scene(stage: Stage) -> None:
        await after(stage, 0)
        assert (await after(stage, -5 * HOUR)).done

    rehearse(tmp_path, scene)


def test_without_the_table_nothing_is_renewed_and_an_old_complaint_is_forgotten(
    tmp_path: Path, kerberos: Kerberos
) -> None:
    async def scene(stage: Stage) -> None:
        kerberos.says("kinit: Password incorrect while getting initial credentials")
        await fails(stage, 0)
        assert len(await needs(stage)) == 1
        text = stage.world.config.read_text().partition("\n[credentials]")[0]
        stage.house.configuration = parse(text, stage.world.config)
        assert (await after(stage, 0)).summary() is None
        assert await needs(stage) == []

    rehearse(tmp_path, scene)


def test_a_start_renews_first_and_all_children_find_the_cache(tmp_path: Path, kerberos: Kerberos) -> None:
    """Also a payload, which runs beyond the supervisor's own end."""
    out = shlex.quote(str(tmp_path / "seen"))
    world = World(tmp_path, [RUN], body=f'echo "$KRB5CCNAME" >{out}')
    cache = tmp_path / "elsewhere" / "cc"
    with world.config.open("a") as file:
        file.write("\n[credentials]\nrenew = ['kinit']\ncache = 'elsewhere/cc'\n")
    with world.running() as process:
        assert cache.exists(), "ready, and no ticket yet"
        world.stop(process)
    world.caf("run", "--once")
    world.payloads_over()
    assert (tmp_path / "seen").read_text() == f"FILE:{cache}\n"
    assert kerberos.asked == 2
    names = [line["event"] for line in world.log()]
    assert names.index("credentials.renewed") < names.index("supervisor.ready")


def test_another_cache_and_a_first_table_take_a_restart(tmp_path: Path, kerberos: Kerberos) -> None:
    """Children that run have the path from the start."""
    world = World(tmp_path, [RUN]).quick()
    with world.running() as process:
        with world.config.open("a") as file:
            file.write("\n[credentials]\nrenew = ['kinit']\n")
        process.send_signal(signal.SIGHUP)
        done = "credentials.cache: is changed, or a first one made, by a restart only"
        wait_until(lambda: done in world.new_log(), what="the refusal")
        world.stop(process)
    assert kerberos.asked == 0

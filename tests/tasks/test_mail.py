"""The mail duty, on a clock that tests set, with a real mail server."""

import re
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from caf import attention
from caf.config import parse
from caf.domain.jobs import Result, State, Word
from caf.domain.matching import Status
from caf.store import configurations, credentials, duties, jobs
from caf.store.database import connect
from caf.store.jobs import Change
from caf.tasks import mail
from caf.tasks.mail import Mailed
from caf.tasks.mail import round as mail_round
from tests.postoffice import PostOffice
from tests.tasks.stage import NOW, Stage, play
from tests.world import World

MINUTE, HOUR = 60.0, 3600.0
RUNS = [490001, 490002, 490003]
AT_7 = 1_800_082_800.0  # 2027-01-16 07:00 UTC; the stage's clock begins at 08:00 of the day before

Scene = Callable[[Stage], Awaitable[None]]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def rehearse(tmp_path: Path, office: PostOffice, scene: Scene, *, more: str = "", job: str = "") -> None:
    play(with_mail(World(tmp_path, RUNS, job=job), office, more), scene)


def with_mail(world: World, office: PostOffice, more: str = "") -> World:
    """The stage's clock is years ahead of the replica's, which is not to be the news."""
    world.edit('replicas = ["cool/*.db"]', 'replicas = ["cool/*.db"]\nstale = "3650d"')
    with world.config.open("a") as file:
        file.write(f'\n[mail]\nserver = "{office.url}"\nto = ["ann@example.org"]\n{more}')
    return world


async def at(stage: Stage, moment: float) -> Mailed:
    stage.clock[0] = moment
    return await mail.run_once(stage.house)


async def after(stage: Stage, seconds: float) -> Mailed:
    return await at(stage, stage.clock[0] + seconds)


async def fail(stage: Stage, run: int, why: str = "exited with 1") -> None:
    ((number, state, attempt),) = stage.world.query(
        "SELECT id, state, attempt FROM job WHERE run = ? AND job = 'Fit'", run
    )
    change = Change(number, State(state), attempt, State.FAILED, why, Result.PREPARATION)
    assert await stage.house.database.call(jobs.apply, [change], stage.clock[0]) == [True]


async def say(stage: Stage, run: int, word: Word) -> None:
    await stage.house.database.call(jobs.act, run, "Fit", word, stage.clock[0], "ann")


def text(office: PostOffice, number: int = -1) -> str:
    return str(office.mails[number].get_content()).replace("\r\n", "\n")


def subjects(office: PostOffice) -> list[str]:
    return [str(one["Subject"]).partition("] ")[2] for one in office.mails]


def test_one_digest_tells_what_is_new_with_the_commands_to_type(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await fail(stage, 490003, "template gone\x1b[2J\nBcc: all@example.org " + "ü" * 900)
        await say(stage, 490002, Word.HOLD)
        assert (await mail.run_once(stage.house)).summary() == "1 mail sent"

    with PostOffice().open() as office:
        rehearse(tmp_path, office, scene)
    assert subjects(office) == ["1 job failed; 1 job waits; 3 runs accepted"]
    assert set(office.mails[0].keys()).isdisjoint({"Bcc", "bcc"})
    body = text(office)
    assert "- 490003 Fit: preparation: template gone\ufffd[2J Bcc: all@example.org" in body.replace("\n  ", " ")
    assert "`caf jobs why 490003 Fit`" in body
    assert "`caf jobs start 490002 Fit --reason TEXT` or\n  `caf jobs reject 490002 Fit --reason TEXT`" in body
    assert "3 runs accepted\n- 490001 by Scan: Fit\n- 490002 by Scan: Fit" in body
    assert str(tmp_path / "listeners.toml") in body
    assert "ü" * 300 not in body


def test_at_most_one_in_15_minutes_and_each_thing_once(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await mail.run_once(stage.house)
        await fail(stage, 490001)
        assert (await after(stage, MINUTE)).sent == 0
        await fail(stage, 490002)
        assert (await after(stage, 13 * MINUTE)).sent == 0
        assert (await after(stage, MINUTE)).sent == 1
        assert (await after(stage, HOUR)).sent == 0

    with PostOffice().open() as office:
        rehearse(tmp_path, office, scene)
    assert subjects(office) == ["3 runs accepted", "2 jobs failed"]
    assert "accepted" not in text(office)


def test_what_was_mended_before_the_digest_is_no_news(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await mail.run_once(stage.house)
        await fail(stage, 490001)
        await say(stage, 490001, Word.RESET)
        assert (await after(stage, HOUR)).sent == 0

    with PostOffice().open() as office:
        rehearse(tmp_path, office, scene)


def test_what_needs_a_person_is_told_when_it_begins_and_when_it_begins_again(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        call = stage.house.database.call
        await mail.run_once(stage.house)
        await call(configurations.complain, "listeners.toml:3: is wrong", stage.clock[0])
        assert (await after(stage, HOUR)).sent == 1
        assert (await after(stage, HOUR)).sent == 0
        await call(configurations.complain, None, stage.clock[0])
        assert (await after(stage, HOUR)).sent == 0
        await call(configurations.complain, "listeners.toml:3: is wrong", stage.clock[0])
        assert (await after(stage, HOUR)).sent == 1

    with PostOffice().open() as office:
        rehearse(tmp_path, office, scene)
    assert subjects(office)[1:] == ["attention: configuration"] * 2
    assert "is not in force since" in text(office)
    assert "`caf check`" in text(office)


def test_each_run_in_conflict_is_news_and_one_less_is_not(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        def write(run: int, status: Status) -> None:
            accepted = status is Status.ACCEPTED
            columns = (status, "Scan" if accepted else None, 0 if accepted else None, run)
            with closing(sqlite3.connect(stage.world.database, isolation_level=None)) as conn:
                conn.execute("UPDATE run SET status = ?, listener = ?, needs_validation = ? WHERE run = ?", columns)

        await mail.run_once(stage.house)
        write(490001, Status.CONFLICT)
        assert (await after(stage, HOUR)).sent == 1
        # As many as before, but another one.
        write(490001, Status.ACCEPTED)
        write(490002, Status.CONFLICT)
        assert (await after(stage, HOUR)).sent == 1
        write(490002, Status.ACCEPTED)
        assert (await after(stage, HOUR)).sent == 0

    with PostOffice().open() as office:
        rehearse(tmp_path, office, scene)
    assert subjects(office)[1:] == ["attention: conflict"] * 2
    assert "`caf runs assign 490002 LISTENER --reason TEXT`" in text(office)


def test_a_duty_that_failed_once_is_no_news_and_one_that_goes_on_failing_is(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        async def failing() -> None:
            # Its next round is far away, so that it is not late.
            await stage.house.database.call(
                duties.ended, "discover", stage.clock[0], NOW + 9 * HOUR, summary=None, error="the replica is locked"
            )

        await stage.house.database.call(duties.begun, "discover", NOW)
        await mail.run_once(stage.house)
        await failing()
        assert (await after(stage, 20 * MINUTE)).sent == 0
        await failing()
        await failing()
        assert (await after(stage, 20 * MINUTE)).sent == 1

    with PostOffice().open() as office:
        rehearse(tmp_path, office, scene)
    assert subjects(office)[1:] == ["attention: duty"]


def test_what_is_critical_from_the_beginning_stands_once_in_the_subject(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await mail.run_once(stage.house)
        never = credentials.Standing(stage.clock[0], error="no keytab", since=stage.clock[0], lasting=True)
        await stage.house.database.call(credentials.keep, never)
        assert (await after(stage, HOUR)).sent == 1

    with PostOffice().open() as office:
        rehearse(tmp_path, office, scene)
    assert subjects(office)[1:] == ["attention: credentials"]


def test_the_summary_comes_at_its_hour_even_when_nothing_happened(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await mail.run_once(stage.house)
        assert (await at(stage, AT_7 - 1)).sent == 0
        assert (await at(stage, AT_7)).sent == 1
        assert (await after(stage, 23 * HOUR)).sent == 0
        assert (await after(stage, HOUR)).sent == 1
        assert (await after(stage, 72 * HOUR + MINUTE)).sent == 1  # one, not three, after a long stop

    with PostOffice().open() as office:
        rehearse(tmp_path, office, scene)
    assert [subject.partition(":")[0] for subject in subjects(office)[1:]] == ["daily summary"] * 3
    assert "runs accepted:  3" in text(office, 1)
    assert "runs accepted:  0" in text(office, 2)
    assert "3 ACCEPTED" in text(office)


@pytest.mark.parametrize(
    ("zone", "clock", "now", "wanted"),
    [
        ("UTC", "07:00", AT_7, AT_7),
        ("UTC", "07:00", AT_7 - 1, AT_7 - 24 * HOUR),
        ("Europe/Zurich", "07:00", AT_7, AT_7 - HOUR),
        # The clocks go forward on 2027-03-28: 02:30 is not there, and the day has 23 hours.
        ("Europe/Zurich", "07:00", 1_806_210_000.0, 1_806_210_000.0),
        ("Europe/Zurich", "02:30", 1_806_206_400.0, 1_806_197_400.0),
        # First of a month.
        ("UTC", "23:00", 1_801_440_000.0, 1_801_436_400.0),
    ],
    ids=["on time", "before", "winter", "summer", "an hour that is not", "first of a month"],
)
def test_the_hour_is_on_the_machines_own_clock(
    zone: str, clock: str, now: float, wanted: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    assert mail_round.last_due(clock, now) == wanted


def test_while_the_server_is_away_news_are_kept_and_no_storm_follows(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        first = await mail.run_once(stage.house)
        assert (first.sent, first.failed, first.again_in) == (0, 1, 60.0)
        for run in RUNS:
            await fail(stage, run)
            await after(stage, HOUR)
        await at(stage, AT_7 + 96 * HOUR)  # two summaries due meanwhile: the newer takes the older's place
        ((waiting,),) = stage.world.query("SELECT count(*) FROM outbox WHERE sent IS NULL")
        assert waiting == 2
        with office.open(port=port):
            await after(stage, HOUR)
            await after(stage, MINUTE)
            await after(stage, HOUR)

    office = PostOffice()
    with office.open():
        port = int(office.url.rpartition(":")[2])
    rehearse(tmp_path, office, scene)
    kinds = [subject.partition(":")[0] for subject in subjects(office)]
    assert sorted(kinds) == ["3 jobs failed", "3 runs accepted", "daily summary"]
    (told,) = (subject for subject in subjects(office) if subject.startswith("daily summary"))
    assert re.search(r", \d+ things to be looked at$", told)


def test_status_tells_of_mail_that_waits_long(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await mail.run_once(stage.house)
        assert not any(need["what"] == "mail" for need in needs(stage, NOW + 10 * MINUTE))
        (need,) = (need for need in needs(stage, NOW + HOUR) if need["what"] == "mail")
        assert "mail to ann@example.org could not be sent since 2027-01-15 08:00 UTC" in str(need["text"])
        assert "550 no such user" in str(need["text"])
        assert need["command"] == "caf check"

    with PostOffice(recipients={"ann@example.org": "550 no such user"}).open() as office:
        rehearse(tmp_path, office, scene)


def needs(stage: Stage, now: float) -> list[dict[str, object]]:
    conn = connect(stage.world.database)
    try:
        return [need.as_object() for need in attention.needs(conn, now, "it runs", None)]
    finally:
        conn.close()


def test_greylisting_delays_one_addressee_and_not_the_others(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await mail.run_once(stage.house)
        assert [one["To"] for one in office.mails] == ["ben@example.org"]
        office.recipients.clear()
        await after(stage, 30.0)
        assert len(office.mails) == 1
        await after(stage, 31.0)
        assert [one["To"] for one in office.mails] == ["ben@example.org", "ann@example.org"]

    with PostOffice(recipients={"ann@example.org": "450 4.7.1 come back later"}).open() as office:
        rehearse(tmp_path, office, scene, job='mail = ["ben@example.org"]\n')
    assert office.mails[0]["Message-ID"] != office.mails[1]["Message-ID"]


def test_a_jobs_own_addresses_get_what_concerns_it_and_no_summary(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await stage.house.database.call(configurations.complain, "listeners.toml:3: is wrong", NOW)
        await fail(stage, 490003)
        await mail.run_once(stage.house)
        await at(stage, AT_7)

    other = (
        '[jobs.Other]\nlisteners = ["Scan"]\ncommand = ["true"]\nmail = ["eve@example.org", "ann@example.org"]\n'
        '[jobs.Third]\nlisteners = ["Scan"]\ncommand = ["true"]\nmail = ["ben@example.org"]\n'
    )
    with PostOffice().open() as office:
        rehearse(tmp_path, office, scene, more=other, job='mail = ["ben@example.org"]\n')
    by = {str(one["To"]): str(one.get_content()) for one in office.mails if "summary" not in str(one["Subject"])}
    assert set(by) == {"ann@example.org", "ben@example.org", "eve@example.org"}
    assert "490003 Fit" in by["ben@example.org"]
    assert "490001 by Scan: Fit, Third" in by["ben@example.org"]
    assert "Needs a person" not in by["ben@example.org"]
    assert "Fit" not in by["eve@example.org"]
    assert "490001 by Scan: Other" in by["eve@example.org"]
    assert [str(one["To"]) for one in office.mails if "summary" in str(one["Subject"])] == ["ann@example.org"]


def test_an_address_that_is_corrected_gets_the_news_of_the_last_day(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await mail.run_once(stage.house)
        text = stage.house.configuration.text.replace("ann@", "anna@")
        stage.house.configuration = parse(text, stage.house.configuration.path)
        assert (await after(stage, HOUR)).sent == 1
        assert stage.world.query("SELECT address FROM outbox WHERE sent IS NULL") == []
        stage.house.configuration = parse(text.partition("[mail]")[0], stage.house.configuration.path)
        assert (await after(stage, HOUR)).summary() is None
        assert stage.world.query("SELECT count(*) FROM addressee") == [(0,)]

    with PostOffice(recipients={"ann@example.org": "550 no such user"}).open() as office:
        rehearse(tmp_path, office, scene)
    assert [one["To"] for one in office.mails] == ["anna@example.org"]


def test_very_many_are_counted_and_not_listed(tmp_path: Path) -> None:
    """A first look at a large run database: one mail of a screen's length."""

    async def scene(stage: Stage) -> None:
        await mail.run_once(stage.house)

    world = World(tmp_path, range(490001, 490101))
    world.edit("max_new_jobs = 1000", "max_new_jobs = 50")
    with PostOffice().open() as office:
        play(with_mail(world, office), scene)
    assert subjects(office) == ["100 jobs wait; 100 runs accepted"]
    body = text(office)
    assert "- 100 of them: 100 new jobs in one round are more than max_new_jobs = 50" in body
    assert "`caf jobs list --state WAITING`" in body
    assert len(body.splitlines()) < 30
    assert max(map(len, body.splitlines())) <= 100


def test_a_clock_that_is_set_back_silences_nobody(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        await at(stage, NOW + 400 * 24 * HOUR)
        await fail(stage, 490001)
        assert (await at(stage, NOW)).sent == 2  # a digest, and the summary of this day
        await fail(stage, 490002)
        assert (await after(stage, 20 * MINUTE)).sent == 1

    with PostOffice().open() as office:
        rehearse(tmp_path, office, scene)
    assert "1 job failed" in subjects(office)


def test_the_supervisor_itself_writes(tmp_path: Path) -> None:
    world = World(tmp_path, RUNS, body="exit 1")
    with PostOffice().open() as office:
        with_mail(world, office)
        world.caf("run", "--once")
        world.payloads_over()
        world.edit("[mail]", '[mail]\nevery = "1ms"')
        world.caf("run", "--once")
    assert "3 runs accepted" in subjects(office)[0]
    assert subjects(office)[1].startswith("3 jobs failed")
    assert world.duty("mail")["summary"] == "1 mail sent"


def test_a_server_that_hangs_holds_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_round, "LIMIT", 1.5)

    async def scene(stage: Stage) -> None:
        done = await mail.run_once(stage.house)
        assert (done.sent, done.failed) == (0, 1)
        office.hangs = False
        assert (await after(stage, HOUR)).sent == 1

    with PostOffice(hangs=True).open() as office:
        rehearse(tmp_path, office, scene)

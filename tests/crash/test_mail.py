"""The mail duty dies at every SQL statement, and between the server's answer and its mark: nothing is lost."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from caf.batch.local import LocalBatch
from caf.config import load
from caf.domain.jobs import Word
from caf.store import configurations, database, jobs, outbox
from caf.store.database import connect, open_database
from caf.tasks import mail
from caf.tasks.house import CALLS, House
from tests.crash.dying import DoneHere, OnStatement, deaths, die_after, forked
from tests.postoffice import PostOffice
from tests.tasks.stage import Stage, play
from tests.world import World, wait_until

RUNS = [490001, 490002]
NOW = 1_800_000_000.0


@contextmanager
def post_office(folder: Path) -> Iterator[str]:
    """Have a mail server in a process of its own, that keeps each mail as a file and its address in `url`.

    If there is a file `victim`, it kills the process whose number stands there before it answers to a mail.
    """
    folder.mkdir()
    child = os.fork()
    if child == 0:
        try:
            office = PostOffice()

            def keep() -> None:
                (folder / f"{time.monotonic_ns()}.mail").write_bytes(office.bytes_taken[-1])
                victim = folder / "victim"
                if victim.exists():
                    os.kill(int(victim.read_text()), signal.SIGKILL)
                    victim.unlink()

            office.on_data = keep
            with office.open():
                (folder / "fresh").write_text(office.url)
                (folder / "fresh").rename(folder / "url")
                signal.pause()
        finally:
            os._exit(0)
    try:
        wait_until((folder / "url").exists, what="the mail server")
        yield (folder / "url").read_text()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def mails(folder: Path) -> list[tuple[str, str]]:
    """Give Message-ID and text of every mail that the server has taken."""
    taken = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in sorted(folder.glob("*.mail"))]
    return [(str(one["Message-ID"]), str(one.get_content())) for one in taken]


async def _round(world: World, now: float) -> None:
    configuration = load(world.config)
    files: Any = DoneHere(CALLS)
    async with open_database(world.database) as opened:
        identity = await opened.call(database.database_id)
        kept = (configuration.text, configuration.sha256, str(configuration.path))
        number = await opened.call(configurations.keep, *kept, NOW)
        batch = LocalBatch(lambda: None, clock=time.time)
        house = House(configuration, number, opened, identity, files, files, files, batch, lambda: now)
        await mail.run_once(house)


def one_round(world: World, now: float, on_statement: OnStatement | None = None, victim: Path | None = None) -> int:
    """Do one round of the duty in a forked process; gives its status."""

    def work() -> None:
        if victim is not None:
            victim.write_text(str(os.getpid()))
        asyncio.run(_round(world, now))

    return forked(work, on_statement)


def news_of(folder: Path, url: str) -> World:
    """Have a world in which two runs were accepted, and one of their jobs held, and nobody has been told."""
    folder.mkdir()
    world = World(folder, RUNS)
    with world.config.open("a") as file:
        file.write(f'\n[mail]\nserver = "{url}"\nto = ["ann@example.org"]\n')

    async def scene(stage: Stage) -> None:
        await stage.house.database.call(jobs.act, RUNS[0], "Fit", Word.HOLD, NOW, "ann")

    play(world, scene)
    return world


def all_told(world: World, box: Path) -> None:
    """Whatever came before: some rounds later each thing was told in one mail, which may have been sent twice."""
    for minutes in (20, 40):
        assert one_round(world, NOW + 60.0 * minutes) == 0
    texts = dict(mails(box))
    assert sum("490001 Fit" in text for text in texts.values()) == 1
    assert sum("2 runs accepted" in text for text in texts.values()) == 1
    assert all(text == texts[message_id] for message_id, text in mails(box))
    with closing(connect(world.database)) as conn:
        assert outbox.next_try(conn) is None


def copied(world: World, folder: Path) -> World:
    shutil.copytree(world.folder, folder)
    other = World.__new__(World)
    other.folder = folder
    return other


@pytest.mark.timeout(240)
@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.campaign)])
def test_death_at_every_statement_from_composing_to_marking(tmp_path: Path, step: int) -> None:
    """At every fifth in the quick run."""
    with post_office(tmp_path / "office") as url:
        news = news_of(tmp_path / "news", url)
        worlds: dict[int, World] = {}

        def attempt(number: int) -> int:
            for path in (tmp_path / "office").glob("*.mail"):
                path.unlink()
            worlds[number] = copied(news, tmp_path / str(number))
            return one_round(worlds[number], NOW, die_after(number))

        for number in deaths(attempt, step, least=20):
            all_told(worlds.pop(number), tmp_path / "office")


def test_death_before_the_servers_answer_sends_the_same_mail_again(tmp_path: Path) -> None:
    box = tmp_path / "office"
    with post_office(box) as url:
        world = news_of(tmp_path / "news", url)
        assert one_round(world, NOW, victim=box / "victim") == -signal.SIGKILL
        all_told(world, box)
        assert len(mails(box)) == 2
        assert len(dict(mails(box))) == 1

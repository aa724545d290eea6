"""listeners.toml is replaced by rubbish, again and again: the last good one stays in force, and it is said."""

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.test_faults import IMPATIENT
from tests.world import World, wait_until

RUN = 490001
WATCHFUL = f"{IMPATIENT}\nfrom caf import force\nforce.LOOK = 0.02"


def _cut(text: str, chance: random.Random) -> str:
    return text[: chance.randrange(len(text))]


def _doubled(text: str, chance: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    place = chance.randrange(len(lines))
    return "".join([*lines[: place + 1], *lines[place:]])


def _without(text: str, chance: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    del lines[chance.randrange(len(lines))]
    return "".join(lines)


def _shuffled(text: str, chance: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    chance.shuffle(lines)
    return "".join(lines)


def _flipped(text: str, chance: random.Random) -> str:
    place = chance.randrange(len(text))
    return text[:place] + chance.choice("\0\x1b[]{}=\"'#\\é\U0001f4a99") + text[place + 1 :]


def _worded(text: str, chance: random.Random) -> str:
    words = text.split(" ")
    words[chance.randrange(len(words))] = chance.choice(["true", "-1", "1e400", '""', "[]", "{}", '"../.."', "nan"])
    return " ".join(words)


def _strange(text: str, chance: random.Random) -> str:
    return chance.choice(
        [
            "",
            "\ufeff# with a mark before it\n" + text,
            text * 2,
            "[" * 5000,
            "a." * 5000 + "b = 1",
            text.replace("\n", "\r\n"),
            '{"json": 1}',
        ]
    )


def _commented(text: str, chance: random.Random) -> str:
    return f"# {chance.random()}\n{text}"


MUTATIONS: list[Callable[[str, random.Random], str]] = [
    _commented,
    _cut,
    _doubled,
    _without,
    _shuffled,
    _flipped,
    _worded,
    _strange,
]


def in_force(world: World) -> str:
    """Give the text of the configuration that came into force last."""
    with closing(sqlite3.connect(world.database, timeout=10)) as conn:
        return str(conn.execute("SELECT text FROM configuration ORDER BY last_used DESC, id DESC").fetchone()[0])


def used(world: World) -> float:
    """Give when a configuration came into force last."""
    return float(world.query("SELECT max(last_used) FROM configuration")[0][0])


def complaint(world: World) -> str | None:
    rows = world.query("SELECT value FROM meta WHERE name = 'configuration_complaint'")
    return str(rows[0][0]) if rows else None


def put(world: World, data: bytes) -> None:
    fresh = world.config.with_name("fresh")
    fresh.write_bytes(data)
    fresh.rename(world.config)


@pytest.mark.parametrize(
    "count", [6, pytest.param(200, marks=[pytest.mark.campaign, pytest.mark.timeout(1200)], id="200")]
)
def test_mutated_configurations_under_a_running_supervisor(tmp_path: Path, count: int) -> None:
    world = World(tmp_path, [RUN]).quick()
    good = world.config.read_text()
    chance = random.Random(20_261_123)
    refused = taken = 0
    with world.running(before=WATCHFUL) as process:
        wait_until(lambda: world.state(RUN) == "DONE", what="the first job")
        for number in range(count):
            mutated = MUTATIONS[number % len(MUTATIONS)](good, chance)
            if mutated == good:  # a sign was put in the place of the same one
                continue
            before = used(world)
            put(world, mutated.encode("utf-8", "surrogatepass"))
            wait_until(
                lambda: complaint(world) is not None or used(world) != before,  # noqa: B023  # at once
                what=f"a word about number {number}",
            )
            if complaint(world) is not None:
                refused += 1
                if refused % 5 == 0:
                    status = world.caf("--state", str(world.folder / "state"), "status", check=False)
                    assert "listeners.toml is not in force since" in " ".join(status.stdout.split())
            else:
                taken += 1
            assert process.poll() is None
            # Back to the good one, so that a word about the next is one about that.
            put(world, good.encode())
            wait_until(lambda: complaint(world) is None and in_force(world) == good, what="the good one")
        run = 490002
        world.add_runs([run])
        wait_until(lambda: world.state(run) == "DONE", what="a job after it all")
        assert not any("exception" in line for line in world.log())
        assert world.stop(process) == 0
    assert refused >= count // 3
    assert taken > 0
    assert world.runs_started() == {RUN: 1, run: 1}
    assert os.path.getsize(world.database) < 50_000_000

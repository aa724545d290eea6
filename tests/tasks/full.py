"""A stage whose account is too full: jobs that are done and left much, and a clock that runs."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from caf.store import quota
from caf.store.quota import Standing
from caf.tasks import archive
from tests.tasks.stage import Stage, play
from tests.world import World

RUNS = (490001, 490002, 490003)
DAY = 86_400.0
BIG = 1_000_000
Scene = Callable[[Stage], Awaitable[None]]


def world(folder: Path, *, job: str = "removable = true\n", limit: str = "3.4MB", more: str = "") -> World:
    """Three jobs that leave a megabyte each, and an account that holds little more."""
    made = World(folder, RUNS, job=job)
    given = more if "provider" in more else f'provider = "tree"\nlimit = "{limit}"\n{more}'
    made.config.write_text(f"{made.config.read_text()}\n[quota]\n{given}")
    return made


async def done(stage: Stage, size: int = BIG, files: int = 0) -> None:
    """Have all jobs run, one after the other a day apart, and go well; two days later they may go."""
    await stage.organise()
    for run in stage.world.runs:
        stage.run(run)
        (stage.area(run) / "root" / "big").write_bytes(b"x" * size)
        for number in range(files):
            (stage.area(run) / "pool" / str(number)).touch()
        stage.end(run)
        await stage.organise()
        await stage.wait(DAY)
    await archive.run_once(stage.house)
    await stage.wait(2 * DAY)


async def standing(stage: Stage) -> Standing:
    found = await stage.house.database.call(quota.standing)
    assert found is not None
    return found


def there(stage: Stage) -> list[int]:
    return [run for run in stage.world.runs if stage.area(run).exists()]


def scene(folder: Path, act: Scene, **options: Any) -> None:
    play(world(folder, **options), act)

"""A whole round goes by the configuration that was in force when it began, whatever is put into force meanwhile."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from caf.config import parse
from caf.store import configurations
from tests.tasks.stage import NOW, Stage, on_stage
from tests.world import World

RUN = 490001
JUDGED = "SELECT run.status, configuration_id FROM run JOIN verdict ON verdict.id = verdict_id WHERE run = ?"


def test_a_configuration_that_comes_into_force_while_runs_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs of this round are judged by the old one, and say so; those of the next by the new one."""
    world = World(tmp_path, [RUN])

    async def scene() -> None:
        async with on_stage(world) as stage:
            call, first = stage.house.files.call, stage.house.configuration_id

            async def reloaded(name: str, *arguments: Any, timeout: float, **more: Any) -> Any:
                answer = await call(name, *arguments, timeout=timeout, **more)
                if name == "read_cool":
                    await bring_into_force(stage, world)
                return answer

            monkeypatch.setattr(stage.house.files, "call", reloaded)
            await stage.discover()
            monkeypatch.setattr(stage.house.files, "call", call)
            second = stage.house.configuration_id
            assert second != first
            assert world.query(JUDGED, RUN) == [("ACCEPTED", first)]
            world.add_runs([490002])
            await stage.discover()
            assert world.query(JUDGED, 490002) == [("UNCLAIMED", second)]
            assert world.query(JUDGED, RUN) == [("ACCEPTED", first)]

    asyncio.run(scene())


async def bring_into_force(stage: Stage, world: World) -> None:
    """Do what a reload does."""
    text = world.config.read_text().replace('run_type = "scan"', 'run_type = "ramp"')
    new, house = parse(text, world.config), stage.house
    house.configuration_id = await house.database.call(configurations.keep, new.text, new.sha256, str(new.path), NOW)
    house.configuration = new

"""Keys that nothing acts on yet are named where they ask for something, not where a default is written down."""

from pathlib import Path

from pydantic import BaseModel

from caf.config import parse
from caf.config.tables import BatchTable, CafTable, DutiesTable
from caf.config.unheeded import OPTIONAL_TABLES, unheeded

REST = '[source]\nreplicas = ["x.db"]\n[listeners.A]\n[jobs.J]\nlisteners = ["A"]\ncommand = ["x"]\n'


def named(caf: str, job: str) -> list[str]:
    return parse(f"[caf]\n{caf}\n{REST}{job}", Path("/etc/caf/listeners.toml")).unheeded()


def test_what_is_changed_is_named() -> None:
    assert named('backup = "backup"', 'removable = true\nshow = ["*.pdf"]') == [
        "caf.backup",
        "jobs.J.removable",
        "jobs.J.show",
    ]


def test_a_default_that_is_written_down_is_not_named() -> None:
    assert named("", "removable = false\nshow = []") == []


def test_how_often_idle_duties_are_done_is_named_only_if_it_is_changed() -> None:
    def of(duties: DutiesTable) -> list[tuple[str | int, ...]]:
        rest: dict[str, BaseModel | None] = {"caf": CafTable.model_construct(), "batch": BatchTable()}
        return unheeded({**dict.fromkeys(OPTIONAL_TABLES), **rest, "duties": duties}, {}, {})

    assert of(DutiesTable.model_validate({"clean": "300s", "report": "1m", "organise": "9m"})) == []
    assert of(DutiesTable.model_validate({"clean": "1h", "report": "2m"})) == [
        ("duties", "clean"),
        ("duties", "report"),
    ]

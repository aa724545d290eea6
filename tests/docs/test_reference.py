"""docs/reference.md and docs/operator.md say what the program does: compared with it, table by table."""

import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from caf import attention, log, paths
from caf.config.conditions import OPERATORS
from caf.config.load import Tables
from caf.config.tables import SOURCES
from caf.config.units import read_duration, read_size
from caf.domain.jobs import Result, State
from caf.domain.matching import Status
from caf.domain.runs import ATTRIBUTES
from caf.storage.area import FACTS, FOLDERS, SCRIPT
from caf.storage.records import CLAIM, REVOKED
from caf.storage.templates import tags_of
from caf.storage.work import MARKER
from tests.docs.commands import leaves, options
from tests.docs.pages import TOP, Page

REFERENCE = Page(TOP / "docs" / "reference.md")
OPERATOR = Page(TOP / "docs" / "operator.md")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _tables(model: type[BaseModel], way: tuple[str, ...] = ()) -> Iterator[tuple[str, type[BaseModel]]]:
    """Give each table of listeners.toml with the heading that it has in the reference."""
    for name, field in model.model_fields.items():
        for inner in _models(field.annotation):
            origin = str(field.annotation)
            here = (*way, name, "NAME") if origin.startswith("dict") else (*way, name)
            heading = f"[{'.'.join(here)}]"
            if inner in SOURCES.values():
                kind = next(kind for kind, source in SOURCES.items() if source is inner)
                heading = f'[source] with kind = "{kind}"'
            yield (f"[{heading}]" if origin.startswith("tuple") else heading), inner
            yield from _tables(inner, here)


TABLES = list(_tables(Tables))


def test_every_table_of_the_configuration_is_there() -> None:
    """The test below goes by what is found here."""
    found = [heading for heading in REFERENCE.headings if heading.startswith("[")]
    assert sorted(found) == sorted(heading for heading, _ in TABLES)
    assert len(TABLES) > 12


@pytest.mark.parametrize(("heading", "model"), TABLES, ids=[heading for heading, _ in TABLES])
def test_every_key_of_a_table_is_there_with_its_default(heading: str, model: type[BaseModel]) -> None:
    """A default is TOML; `-` is no value, `required` is said of what has none."""
    rows = {row[0].strip("`"): row[1] for row in REFERENCE.rows(heading)}
    assert list(rows) == [field.alias or name for name, field in model.model_fields.items()]
    for name, field in model.model_fields.items():
        assert _says(rows[field.alias or name], field), f"{heading} {name}: {field.default!r}"


def _says(cell: str, field: FieldInfo) -> bool:
    default = field.get_default(call_default_factory=True, validated_data={})
    if field.is_required() or default is None or default == ():
        return cell == ("required" if field.is_required() else cell if cell in ("-", "`[]`") else "")
    if isinstance(default, BaseModel):
        return cell == "see below"
    said = tomllib.loads(f"value = {cell.strip('`')}")["value"]
    if isinstance(default, float) and isinstance(said, str):
        return read_duration(said) == default
    if isinstance(default, int) and isinstance(said, str):
        return read_size(said) == default
    return bool(said == (str(default) if isinstance(default, Path) else default))


def test_keys_that_need_a_table_say_which() -> None:
    """What `caf check` would name must be understood from the tables."""
    from caf.config.unheeded import JOB_KEYS

    said = {row[0].strip("`"): row[2] for row in REFERENCE.rows("[jobs.NAME]")}
    assert {key for key, table in JOB_KEYS.items() if f"needs [{table}]" not in said[key]} == set()


@pytest.mark.parametrize(
    ("page", "heading", "names"),
    [
        (REFERENCE, "Attributes of runs", list(ATTRIBUTES)),
        (REFERENCE, "Conditions", ["equal", "one_of", *OPERATORS]),
        (REFERENCE, "States and results", list(Result)),
        (OPERATOR, "What the words mean", [*Status, *State]),
    ],
    ids=["attributes", "conditions", "results", "states"],
)
def test_a_table_names_all_there_are_in_their_order(page: Page, heading: str, names: list[str]) -> None:
    """A newcomer looks the word up that a command has printed."""
    assert [name for name in page.keys(heading) if name != "state"] == names


def test_attributes_have_their_types() -> None:
    """The kind decides which operators fit."""
    assert {row[0].strip("`"): row[1] for row in REFERENCE.rows("Attributes of runs")} == dict(ATTRIBUTES)


def test_log_events_are_those_that_can_be_logged() -> None:
    """With the very words of caf.log."""
    assert {row[0].strip("`"): row[1] for row in REFERENCE.rows("Log events")} == log.EVENTS


def test_template_tags_are_those_that_have_a_value() -> None:
    """Those of the job's own `tags` come beside them."""
    tags = tags_of(
        work="/w",
        area="/w/1",
        templates="/t",
        files=["a.py"],
        job="J",
        attempt=1,
        listener="L",
        attributes={"run": 1},
        raw=["/r/1"],
        log="log/x",
        own={"ATLAS_RELEASE": "1.2.3.4"},
    )
    assert set(REFERENCE.keys("Template tags")) == set(tags) - {"ATLAS_RELEASE"}


def test_every_line_that_asks_for_a_person_is_explained() -> None:
    """By the word that `caf status --json` has for it."""
    kinds = set(re.findall(r'Need\(\s*"(\w+)"', inspect.getsource(attention)))
    assert {row[1].strip("`") for row in OPERATOR.rows("caf status")} == kinds


def test_files_of_an_area_are_there() -> None:
    """A name that is changed in the program must be changed here."""
    files = REFERENCE.keys("Files")
    for name in (f"state/{paths.DATABASE}", f"state/{paths.LOCK}", f"work/{MARKER}", FACTS, SCRIPT, f"{CLAIM}/"):
        assert name in files
    assert {f"{name}/" for name in FOLDERS} <= set(files)
    assert f"{CLAIM}/{REVOKED}" in set(REFERENCE.code())


def test_options_that_all_commands_share_are_in_the_text() -> None:
    """The table of commands leaves them out."""
    text = " ".join(REFERENCE.code())
    for option in ("--config", "--state"):
        assert option in text
        assert all(option in options(command) for command in leaves().values())

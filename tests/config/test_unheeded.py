"""Keys that do nothing for want of their table are named, where they ask for something at all."""

from pathlib import Path

from caf.config import parse

REST = '[source]\nreplicas = ["x.db"]\n[listeners.A]\n[jobs.J]\nlisteners = ["A"]\ncommand = ["x"]\n'
ASKS = 'removable = true\nkeep_newest = 3\nmail = ["a@example.org"]\n'


def named(job: str, more: str = "") -> list[str]:
    return parse(f"{REST}{job}\n{more}", Path("/etc/caf/listeners.toml")).unheeded()


def test_what_needs_a_table_that_is_not_there_is_named() -> None:
    assert named(ASKS) == ["jobs.J.mail", "jobs.J.removable", "jobs.J.keep_newest"]


def test_with_its_table_it_is_acted_on() -> None:
    assert named(ASKS, "[quota]") == ["jobs.J.mail"]
    assert named(ASKS, '[quota]\n[mail]\nto = ["b@example.org"]') == []


def test_a_default_that_is_written_down_asks_for_nothing() -> None:
    assert named("removable = false\nkeep_newest = 0\nmail = []") == []

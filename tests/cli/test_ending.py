"""How commands begin and end: what they import, exit statuses, and that no traceback is ever shown."""

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from caf import __version__
from caf.cli.commands import COMMANDS, GROUPS
from tests.cli.pretend import CONFIGURATION, RAMP, RUNS, Site, absorb

HEAVY = ("pydantic", "structlog", "asyncio", "anyio", "aiosqlite", "rich", "caf.config", "caf.supervisor", "caf.tasks")
TELL = "import atexit; atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))"
NEEDS_NO_FILE = {"init", "demo", "completion"}
BEFORE, _, REST = CONFIGURATION.partition("[[corrections]]")
PLAIN = BEFORE + REST[REST.index("[listeners.Scan]") :]


@pytest.fixture
def plain(empty: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose configuration corrects nothing."""
    monkeypatch.setattr("tests.cli.pretend.CONFIGURATION", PLAIN)
    empty.config.write_text(PLAIN)
    conn = empty.open()
    absorb(conn, empty.folder, RUNS, 1.7e9)
    conn.close()
    return empty


@pytest.mark.parametrize(
    "words",
    [
        ["jobs", "hold", "490001", RAMP],
        ["jobs", "kill", "--job", RAMP, "--yes"],
        ["pause", "--reason", "new release"],
        ["pause", "--job", RAMP, "--reason", "new release"],
        ["resume"],
        ["jobs", "list"],
        ["jobs", "why", "490001", RAMP],
        ["runs", "list", "--json"],
        ["runs", "show", "490001"],
        ["history"],
        ["status", "--nagios"],
        ["--help"],
    ],
)
def test_what_must_be_quick_imports_nothing_heavy(plain: Site, words: list[str]) -> None:
    done = plain.python(*words, before=TELL)
    modules = done.stderr.split()
    assert "caf.cli.main" in modules
    assert [name for name in modules if name in HEAVY or name.startswith(tuple(f"{h}." for h in HEAVY))] == []


def test_a_change_of_one_job_imports_no_other_command(plain: Site) -> None:
    modules = plain.python("jobs", "hold", "490001", RAMP, before=TELL).stderr.split()
    assert {name for name in modules if name.startswith("caf.cli.")} == {
        "caf.cli.colours", "caf.cli.commands", "caf.cli.main", "caf.cli.options", "caf.cli.orders", "caf.cli.text",
    }  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_plain_function_with_help_and_an_example(empty: Site, name: str) -> None:
    """An async command would do nothing, and say that it was done."""
    module, _, function = COMMANDS[name].partition(":")
    command = getattr(import_module(f"caf.cli.{module}"), function)
    assert not inspect.iscoroutinefunction(command)
    assert {"config", "state"} <= set(inspect.signature(command).parameters)
    answer = empty.caf(*name.split(), "--help")
    assert answer.status == 0
    assert f"Example: caf {name}" in answer.out
    assert ("--config FILE" in answer.out) == (name not in NEEDS_NO_FILE)


@pytest.mark.parametrize("before", [True, False])
def test_commands_that_need_no_file_are_typed_with_one_all_the_same(empty: Site, *, before: bool) -> None:
    """Whoever writes scripts gives every command the same options."""
    given = ["--config", "nix.toml", "--state", "nix"]
    assert empty.caf(*([*given, "init", "new"] if before else ["init", "new", *given])).status == 0


def test_help_names_every_command(empty: Site) -> None:
    out = empty.caf("--help").out
    for name in (*GROUPS, *(name for name in COMMANDS if " " not in name)):
        assert f"\n  {name} " in out
    assert empty.caf("--version").out == f"caf {__version__}\n"
    assert empty.caf().status == 2


def test_a_reader_that_stops_early_is_no_error_to_speak_of(site: Site) -> None:
    done = subprocess.run(
        ["sh", "-c", f"'{sys.executable}' -m caf runs list --json | head -n 1"],  # the pipe is the point
        cwd=site.folder,
        env={"PYTHONPATH": inspect.getfile(Site).rpartition("/tests/")[0], "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("[\n", "")


@pytest.mark.parametrize(
    ("raised", "status", "says"),
    [
        ("ValueError('a\\x1b[31m\\nb')", 1, "caf: this is a bug in caf: ValueError: a\ufffd[31m b; CAF_DEBUG=1"),
        ("KeyboardInterrupt()", 130, ""),
        ("BrokenPipeError()", 1, ""),
        ("PermissionError(13, 'Permission denied', '/x')", 1, "caf: /x: Permission denied"),
    ],
)
def test_whatever_goes_wrong_ends_in_a_line_not_a_traceback(site: Site, raised: str, status: int, says: str) -> None:
    before = f"import caf.store.queries as q\ndef bad(*a): raise {raised}\nq.jobs = bad"
    done = site.python("jobs", "list", before=before)
    assert done.returncode == status
    assert done.stderr.startswith(says)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == bool(says)


def test_the_details_of_a_bug_are_there_for_who_asks(site: Site) -> None:
    before = "import os; os.environ['CAF_DEBUG'] = '1'\nimport caf.store.queries as q\nq.jobs = None"
    done = site.python("jobs", "list", before=before)
    assert done.returncode == 1
    assert "Traceback" in done.stderr

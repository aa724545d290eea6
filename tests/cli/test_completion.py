"""Completion: what shells are told, quickly and without a word of complaint; and the shells themselves."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperArgument, TyperOption

from caf.cli.choices import FILES, FREE, KNOWN
from caf.cli.commands import COMMANDS, GROUPS
from caf.cli.completing import complete
from tests.cli.pretend import D3PD, RAMP, TOP, Site
from tests.docs.commands import leaves

HEAVY = ("pydantic", "structlog", "asyncio", "anyio", "aiosqlite", "rich", "caf.config", "caf.supervisor", "caf.tasks")


def told(*words: str) -> list[str]:
    kind, found = complete(words, explained=False)
    assert kind == "words"
    return [word for word, _ in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("jo",), ["jobs"]),
        (("jobs", "re"), ["reject", "reset"]),
        (("quota", ""), ["pin", "unpin"]),
        (("quota", "--pl"), ["--plan"]),
        (("nonsense", ""), []),
        (("jobs", "nonsense", ""), []),
        (("--ver",), ["--version"]),
        (("jobs", "list", "--st"), ["--state"]),
        (("jobs", "list", "--state", "f"), ["FINISHED", "FAILED"]),
        (("jobs", "list", "--state", "=", "WAI"), ["WAITING"]),  # so bash takes it apart
        (("jobs", "list", "--state=WAI"), ["--state=WAITING"]),
        (("jobs", "list", "--job", ""), [D3PD, RAMP]),
        (("jobs", "list", "--json", "--listener", "S"), ["Scan", "Standalone"]),
        (("--config", "listeners.toml", "jobs", "list", "--listener", "St"), ["Standalone"]),
        (("runs", "list", "--status", "O"), ["OPEN"]),
        (("runs", "assign", "490005", ""), ["Scan", "Standalone"]),
        (("runs", "show", "49001"), ["490010"]),
        (("runs", "show", "5"), []),
        (("runs", "show", "x"), []),
        (("jobs", "ack", ""), ["490006"]),
        (("jobs", "ack", "490006", ""), [RAMP]),
        (("jobs", "start", "490002", ""), [RAMP, D3PD]),
        (("jobs", "why", "490010", ""), [RAMP, D3PD]),
        (("jobs", "why", "490010", RAMP, ""), []),
        (("jobs", "mark", "490010", RAMP, ""), ["good", "bad"]),
        (("logs", "--duty", "d"), ["discover"]),
        (("logs", "--run", "49000"), ["490006", "490005", "490004", "490003", "490002", "490001"]),
        (("jobs", "kill", "--reason", ""), []),
    ],
)
def test_what_could_stand_there(site: Site, words: tuple[str, ...], expected: list[str]) -> None:
    found = told(*words)
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    "words", [("--config", ""), ("db", "backup", "x"), ("jobs", "list", "--config", "l"), ("init", "")]
)
def test_files_are_left_to_the_shell(site: Site, words: tuple[str, ...]) -> None:
    assert complete(words, explained=False) == ("files", [])


def test_options_are_explained_and_not_offered_twice(site: Site) -> None:
    options = dict(complete(("jobs", "list", "--json", "--state", "DONE", "--"), explained=True)[1])
    assert options["--limit"] == "The newest N."
    assert "--json" not in options
    assert "--state" in options  # it may be given again


def test_commands_and_groups_are_explained_where_the_shell_shows_it(site: Site) -> None:
    for group, names in (("", [n for n in COMMANDS if " " not in n] + list(GROUPS)), ("jobs", ["list", "why"])):
        explained = dict(complete((*group.split(), ""), explained=True)[1])
        assert set(names) <= explained.keys()
        assert all(explained.values())


def test_every_value_is_known_a_file_or_for_the_person_to_say() -> None:
    """So no new option is forgotten."""
    asked = KNOWN.keys() | FILES | FREE
    for name, command in leaves().items():
        for one in command.params:
            if isinstance(one, TyperArgument):
                assert str(one.metavar).strip("[]") in asked, name
            elif isinstance(one, TyperOption) and not one.is_flag:
                assert one.opts[-1] in asked or one.metavar == "STATE", f"{name} {one.opts}"


def asked(site: Site, *words: str, before: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
    code = f"import sys; sys.argv[0] = 'caf'\n{before}\nfrom caf.cli.main import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=site.folder,
        env={"PYTHONPATH": TOP, "PATH": "/usr/bin:/bin", "_CAF_COMPLETE": "fish", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "words", [("jobs", "list", "--job", ""), ("jobs", "start", ""), ("jobs", ""), ("",), ("runs", "show", "")]
)
def test_an_answer_imports_nothing_heavy(site: Site, words: tuple[str, ...]) -> None:
    """The start-up budget: less than 200 ms."""
    tell = "import atexit; atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))"
    done = asked(site, *words, before=tell, _CAF_COMPLETE="bash")
    assert done.stdout.startswith("words\n")
    modules = done.stderr.split()
    assert [name for name in modules if name in HEAVY or name.startswith(tuple(f"{h}." for h in HEAVY))] == []


def test_whatever_is_wrong_is_not_said(site: Site) -> None:
    (site.state / "caf.db").write_bytes(b"rubbish" * 1000)
    done = asked(site, "jobs", "list", "--job", "")
    assert (done.returncode, done.stderr) == (0, "")
    assert D3PD in done.stdout  # the file still has it
    site.config.write_text("[caf")
    for words in (("jobs", "list", "--job", ""), ("runs", "show", ""), ("jobs", "list", "--state")):
        done = asked(site, *words)
        assert (done.returncode, done.stderr) == (0, "")


def test_names_cannot_command_a_terminal(site: Site) -> None:
    site.config.write_text(site.config.read_text() + '\n[jobs."\\u001b[31m"]\ncommand = []\n')
    assert "\x1b" not in asked(site, "jobs", "list", "--job", "").stdout


TYPED = {
    "bash": "source <(caf completion bash); COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _caf caf; "
    'printf "%s\\n" "${{COMPREPLY[@]}}"',
    "fish": 'caf completion fish | source; complete -C"{words}"',
    "zsh": "autoload -U compinit; compinit -D -u; _describe() {{ print -l ${{found%%:*}} }}; "
    "source <(caf completion zsh); words=({words}); CURRENT=${{#words}}; _caf",
}


@pytest.mark.parametrize("shell", TYPED)
def test_the_shells_understand_their_scripts(site: Site, tmp_path: Path, shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell} here: tests/packages.sh has it")
    caf = tmp_path / "bin" / "caf"
    caf.parent.mkdir()
    caf.write_text(f"#!/bin/sh\nPYTHONPATH='{TOP}' exec '{sys.executable}' -m caf \"$@\"\n")
    caf.chmod(0o755)
    done = subprocess.run(
        [program, "-c", TYPED[shell].format(words="caf jobs list --state WAIT")],
        cwd=site.folder,
        env={"PATH": f"{caf.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == (["WAITING"], "")

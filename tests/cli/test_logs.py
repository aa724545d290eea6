"""`caf logs`: from the file and those that it was rotated into, from the journal, and what when there is neither."""

import gzip
import json
import lzma
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.pretend import CONFIGURATION, HOSTILE, Site
from tests.world import wait_until

NOW = 1_800_000_000.0


def line(event: str, at: float = NOW, level: str = "info", **more: Any) -> str:
    when = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(at))
    return json.dumps({**more, "event": event, "level": level, "at": when}) + "\n"


@pytest.fixture
def site(empty: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose log goes to log/caf.log; there is no journal."""
    empty.config.write_text('[caf]\nlog = "log/caf.log"\n' + CONFIGURATION)
    (empty.folder / "log").mkdir()
    (empty.folder / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{empty.folder / 'bin'}")
    return empty


@pytest.fixture
def log(site: Site) -> Path:
    return site.folder / "log" / "caf.log"


def events(site: Site, *words: str) -> list[str]:
    return [json.loads(one)["event"] for one in site.caf("logs", "--json", *words).out.splitlines()]


def test_each_event_is_one_line_that_says_first_what_it_is_about(site: Site, log: Path) -> None:
    log.write_text(
        line("job.moved", run=490001, job="Fit", attempt=2, was="NEW", became="PREPARED", why="1 raw file,\nready")
        + line("duty.failed", level="warning", duty="mail", error="no", failures=3)
        + line("jobs.made", jobs=2, runs=1)
    )
    assert site.caf("logs").out.splitlines() == [
        "2027-01-15 08:00:00            job.moved           490001 Fit (attempt 2)  NEW -> PREPARED  1 raw file, ready",
        "2027-01-15 08:00:00  WARNING   duty.failed         mail  failures=3  no",
        "2027-01-15 08:00:00            jobs.made           jobs=2  runs=1",
    ]


def test_hostile_text_is_harmless_and_json_is_ascii(site: Site, log: Path) -> None:
    log.write_text(json.dumps({"event": HOSTILE, "level": HOSTILE, "at": HOSTILE, HOSTILE: HOSTILE}) + "\n")
    with log.open("ab") as file:
        file.write(b"Started \x1b[31m \xff\xfe\n[1, 2]\n{}\n" + b"[" * 100_000 + b"\n")
    for words in ((), ("--json",)):
        out = site.caf("logs", *words).out
        assert "\x1b" not in out
        assert "\u202e" not in out
    assert site.caf("logs", "--json").out.isascii()
    assert site.caf("logs").out.splitlines()[1].startswith("Started \ufffd[31m")


def test_a_fault_of_the_program_is_told_in_a_few_words(site: Site, log: Path) -> None:
    frames = [{"filename": "/x/caf/duty.py", "lineno": 80, "name": "round"}]
    trace = [{"exc_type": "KeyError", "exc_value": "'a'", "frames": frames}]
    log.write_text(line("duty.failed", level="error", duty="mail", exception=trace) + line("x.y", exception=[3]))
    first, second = site.caf("logs").out.splitlines()
    assert first.endswith("ERROR     duty.failed         mail  KeyError: 'a' (duty.py:80 in round)")
    assert second.endswith("[3]")


def test_only_what_is_wanted_is_shown(site: Site, log: Path) -> None:
    log.write_text(
        line("job.moved", run=1, job="A")
        + line("job.moved", run=2, job="A")
        + line("job.moved", run=2, job="B")
        + line("duty.failed", level="error", duty="organise")
        + line("log.repeated", level="warning", of="poll.failed", count=7)
        + line("source.read", level="debug")
        + "not caf's\n"
    )
    assert len(site.caf("logs").out.splitlines()) == 6  # not what is for debugging
    assert len(site.caf("logs", "--level", "debug").out.splitlines()) == 7
    assert events(site, "--run", "2") == ["job.moved", "job.moved"]
    assert events(site, "--run", "2", "--job", "B") == ["job.moved"]
    assert events(site, "--job", "A") == ["job.moved", "job.moved"]
    assert events(site, "--level", "WARNING") == ["duty.failed", "log.repeated"]
    assert events(site, "--level", "warn") == ["duty.failed", "log.repeated"]
    assert events(site, "--duty", "organise", "--level", "warning") == ["duty.failed", "log.repeated"]
    assert events(site, "--duty", "discover", "--level", "debug") == ["source.read"]
    assert events(site, "--limit", "2") == ["duty.failed", "log.repeated"]
    assert site.caf("logs", "--level", "loud").status == 2


def test_rotated_files_come_first_packed_or_not_the_oldest_before_all(site: Site, log: Path) -> None:
    names = ("caf.log.12.gz", "caf.log-20260101.gz", "caf.log.2", "caf.log.1", "caf-20260102.log")
    for age, name in enumerate(reversed(names), 1):
        text = line(name, NOW - 86_400 * age).encode()
        (log.parent / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
        os.utime(log.parent / name, (NOW - 86_400 * age,) * 2)
    for other in ("caf.log.bak", "caf.logs", "other.log.1"):
        (log.parent / other).write_text(line("wrong"))
    (log.parent / "caf.log.1.gz").write_bytes(b"half of what is being packed")
    log.write_text(line("now"))
    assert events(site) == [*names, "now"]
    log.unlink()
    assert events(site) == list(names)


@pytest.mark.parametrize("packed", ["gz", "xz"])
def test_what_of_a_packed_file_is_damaged_is_told_and_the_rest_is_shown(site: Site, log: Path, packed: str) -> None:
    text = "".join(line("old", NOW + number) for number in range(5000)).encode()
    whole = bytearray(gzip.compress(text) if packed == "gz" else lzma.compress(text))
    middle = len(whole) // 2
    whole[middle : middle + 50] = b"\xff" * 50
    (log.parent / f"caf.log.1.{packed}").write_bytes(bytes(whole))
    log.write_text(line("now"))
    said = site.caf("logs", "--json", "--level", "debug", "--limit", "9999")
    assert said.status == 0
    assert "cannot be read" in said.err
    assert json.loads(said.out.splitlines()[-1])["event"] == "now"


def test_since_leaves_out_files_that_are_older(site: Site, log: Path) -> None:
    now = time.time()
    (log.parent / "caf.log.1.gz").write_bytes(b"rubbish, which is not even opened")
    os.utime(log.parent / "caf.log.1.gz", (now - 7200,) * 2)
    log.write_text(line("old", now - 4000) + line("new", now - 100) + "not caf's\n")
    assert events(site, "--since", "1h") == ["new"]
    answer = site.caf("logs", "--since", "3h")
    assert "caf.log.1.gz: cannot be read" in answer.err
    assert len(answer.out.splitlines()) == 2


@contextmanager
def following(site: Site, *words: str) -> Iterator[Path]:
    """Have `caf logs -f` going; gives the file that it prints into."""
    shown = site.folder / "shown"
    with shown.open("w") as out:
        command = [sys.executable, "-m", "caf", "logs", "-f", "--json", *words]
        top = str(Path(__file__).parents[2])
        process = subprocess.Popen(command, cwd=site.folder, stdout=out, env={**os.environ, "PYTHONPATH": top})
    try:
        yield shown
    finally:
        process.kill()
        process.wait()


def test_following_goes_on_over_rotations_of_both_kinds(site: Site, log: Path) -> None:
    log.write_text("".join(line(f"before.{n}") for n in range(20)))

    def append(event: str) -> None:
        with log.open("a") as file:
            file.write(line(event))

    def shown(event: str) -> bool:
        return event in out.read_text()

    with following(site) as out:
        wait_until(lambda: shown("before.19"), what="the newest")
        assert len(out.read_text().splitlines()) == 10
        append("moved")
        log.rename(log.with_name("caf.log.1"))
        wait_until(lambda: shown("moved"), what="the last line of the old file")
        log.write_text(line("created"))
        wait_until(lambda: shown("created"), what="the new file")
        os.truncate(log, 0)
        append("cut")
        wait_until(lambda: shown("cut"), what="the truncated file")
        with log.open("a") as file:
            file.write('{"event": "two')
            file.flush()
            file.write(' halves"}\n')
        wait_until(lambda: shown("two halves"), what="a line in two pieces")
    names = [json.loads(one)["event"] for one in out.read_text().splitlines()][10:]
    assert names == ["moved", "created", "cut", "two halves"]


JOURNALCTL = """#!/bin/sh
echo "$*" >>{folder}/asked
cat {folder}/journal
exit {status}
"""


def have_journal(site: Site, *messages: object, status: int = 0) -> None:
    program = site.folder / "bin" / "journalctl"
    program.write_text(JOURNALCTL.format(folder=site.folder, status=status).replace("cat ", "/bin/cat "))
    program.chmod(0o755)
    (site.folder / "journal").write_text("".join(json.dumps({"MESSAGE": one}) + "\n" for one in messages))


def test_without_a_file_the_journal_is_read(site: Site) -> None:
    site.config.write_text(CONFIGURATION)
    have_journal(site, "Started caf.", line("one"), list(line("two").encode()), None)
    assert events(site) == ["one", "two"]
    assert [one[-3:] for one in site.caf("logs", "--unit", "calib").out.splitlines()] == ["af.", "one", "two"]
    asked = (site.folder / "asked").read_text().splitlines()
    assert asked[0] == "-u caf -o json --output-fields=MESSAGE -a -q --no-pager"
    assert asked[1].startswith("-u calib ")


def test_a_file_that_is_not_there_is_said_and_the_journal_read(site: Site, log: Path) -> None:
    have_journal(site, line("one"))
    answer = site.caf("logs")
    assert answer.out.endswith("one\n")
    assert f"{log} is not there" in answer.err


def test_a_configuration_that_is_rubbish_is_no_obstacle(site: Site) -> None:
    site.config.write_text("[[[")
    have_journal(site, line("one"))
    answer = site.caf("logs")
    assert (answer.status, answer.out[-4:]) == (0, "one\n")
    assert "is not TOML" in answer.err


def test_with_neither_file_nor_journal_it_says_what_to_do(site: Site) -> None:
    site.config.write_text(CONFIGURATION)
    answer = site.caf("logs")
    assert (answer.status, answer.out) == (1, "")
    assert "journalctl is not installed on this machine" in answer.err
    assert "[caf] log in listeners.toml" in answer.err
    have_journal(site, status=1)
    assert "journalctl ended with 1" in site.caf("logs").err
    have_journal(site)
    answer = site.caf("logs")
    assert answer.status == 0
    assert "the journal has nothing of unit caf" in answer.err
    assert "--unit NAME" in answer.err


def test_it_does_not_import_what_the_supervisor_logs_with(site: Site, log: Path) -> None:
    log.write_text(line("one"))
    done = site.python("logs", before="import atexit; atexit.register(lambda: print('structlog' in sys.modules))")
    assert done.stdout.splitlines()[-1] == "False"


def test_in_a_terminal_what_is_grave_is_coloured(site: Site, log: Path) -> None:
    log.write_text(line("bad", level="error") + line("good"))
    bad, good = site.terminal(100, "logs")
    assert "\x1b[31mERROR   \x1b[0m" in bad
    assert "\x1b" not in good

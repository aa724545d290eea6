"""A renewal by real programs that pretend to be kinit, klist and aklog: whole, or not at all."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from caf.domain.errors import StorageError
from caf.storage.child import FileChild
from caf.storage.credentials import AFTER, DEAD, DONE, RENEW, environment, renew
from tests.world import wait_until

NOW = 1_800_000_000.0  # 2027-01-15 08:00 UTC
KLIST = """#!/bin/sh
[ "$LC_ALL $TZ" = "C UTC" ] || exit 1
cat <<END
Default principal: calib@CAF.TEST

Valid starting     Expires            Service principal
01/15/27 08:00:00  {end}  krbtgt/CAF.TEST@CAF.TEST
END
"""
GET = ["sh", "-c", 'printf %s "new ticket" >"${KRB5CCNAME#FILE:}"']


class Bench:
    """A folder with programs of its own before all others, and where the cache is."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.cache = folder / "cache" / "krb5cc"

    def program(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def tickets_end(self, end: str = "01/15/27 18:00:00") -> None:
        self.program("klist", KLIST.format(end=end))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path)
    made.tickets_end()
    monkeypatch.setenv("PATH", f"{made.programs}:{os.environ['PATH']}")
    return made


def only_the_cache(bench: Bench, text: str = "new ticket") -> None:
    assert os.listdir(bench.cache.parent) == ["krb5cc"]
    assert bench.cache.read_text() == text
    assert bench.cache.stat().st_mode & 0o777 == 0o600


def test_a_new_ticket_takes_the_old_ones_place_and_the_next_command_finds_it(bench: Bench, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    after = ["sh", "-c", f'cat "${{KRB5CCNAME#FILE:}}" >{seen}']
    assert renew(GET, after, str(bench.cache), 10.0, NOW) == {
        "step": DONE,
        "code": 0,
        "words": "",
        "expires": NOW + 36_000,
    }
    only_the_cache(bench)
    assert seen.read_text() == "new ticket"
    assert bench.cache.parent.stat().st_mode & 0o777 == 0o700


def test_a_command_finds_the_old_ticket_in_the_second_cache(bench: Bench) -> None:
    """So that `kinit -R` has something to renew; what others read stays until it is done."""
    renew(GET, (), str(bench.cache), 10.0, NOW)
    more = ["sh", "-c", f'grep -q new "{bench.cache}" && printf %s ", renewed" >>"${{KRB5CCNAME#FILE:}}"']
    assert renew(more, (), str(bench.cache), 10.0, NOW)["step"] == DONE
    only_the_cache(bench, "new ticket, renewed")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["sh", "-c", 'echo half >"${KRB5CCNAME#FILE:}"; echo no KDC >&2; exit 1'], 1),
        (["no-such-program"], 127),
        (["/dev/null"], 127),
        (["sh", "-c", 'echo half >"${KRB5CCNAME#FILE:}"; kill -9 $$'], -9),
    ],
)
def test_what_fails_leaves_the_old_ticket_whole(command: list[str], code: int, bench: Bench) -> None:
    renew(GET, (), str(bench.cache), 10.0, NOW)
    told = renew(command, ("touch", "here"), str(bench.cache), 10.0, NOW)
    assert (told["step"], told["code"]) == (RENEW, code)
    only_the_cache(bench)


def test_a_command_that_hangs_is_killed_with_all_that_it_started(bench: Bench, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    begun = time.monotonic()
    told = renew(["sh", "-c", f"sleep 60 & echo $! >{pid}; wait"], (), str(bench.cache), 0.5, NOW)
    assert time.monotonic() - begun < 10
    assert (told["step"], told["code"]) == (RENEW, None)
    wait_until(lambda: not Path(f"/proc/{pid.read_text().strip()}/exe").exists(), what="the end of what it started")
    assert os.listdir(bench.cache.parent) == []


def test_a_ticket_that_is_over_when_it_comes_does_not_take_a_good_ones_place(bench: Bench) -> None:
    renew(GET, (), str(bench.cache), 10.0, NOW)
    bench.tickets_end("01/15/27 07:59:59")
    told = renew(["sh", "-c", 'echo dead >"${KRB5CCNAME#FILE:}"'], (), str(bench.cache), 10.0, NOW)
    assert (told["step"], told["expires"]) == (DEAD, NOW - 1)
    only_the_cache(bench)


def test_a_failing_second_command_leaves_the_new_ticket_in_place(bench: Bench) -> None:
    told = renew(GET, ["sh", "-c", "echo no cell >&2; exit 3"], str(bench.cache), 10.0, NOW)
    assert told == {"step": AFTER, "code": 3, "words": "no cell", "expires": NOW + 36_000}
    only_the_cache(bench)


def test_a_command_that_has_nothing_to_do_with_kerberos_is_welcome(bench: Bench, tmp_path: Path) -> None:
    """It writes no cache: nothing is put anywhere, and nothing is known of an end."""
    for _ in range(2):
        told = renew(["touch", str(tmp_path / "token")], (), str(bench.cache), 10.0, NOW)
        assert told == {"step": DONE, "code": 0, "words": "", "expires": None}
    assert (tmp_path / "token").exists()
    assert os.listdir(bench.cache.parent) == []


@pytest.mark.parametrize("klist", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho rubbish\n", "no program at all"])
def test_without_a_klist_that_can_be_read_the_end_is_unknown(klist: str, bench: Bench) -> None:
    bench.program("klist", klist)
    told = renew(GET, (), str(bench.cache), 10.0, NOW)
    assert (told["step"], told["expires"]) == (DONE, None)
    only_the_cache(bench)


def test_what_an_earlier_death_left_of_a_second_cache_is_never_used(bench: Bench) -> None:
    bench.cache.parent.mkdir()
    Path(f"{bench.cache}.new").write_text("half")
    assert renew(["true"], (), str(bench.cache), 10.0, NOW)["step"] == DONE
    assert os.listdir(bench.cache.parent) == []


def test_a_cache_that_cannot_be_written_is_an_error_that_names_it(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/krb5cc\.new"):
        renew(GET, (), str(tmp_path / "file" / "krb5cc"), 10.0, NOW)


def test_words_are_english_whatever_the_environment_says() -> None:
    ours = {"LANG": "de_DE.UTF-8", "LC_ALL": "fr_FR", "LANGUAGE": "it", "KRB5CCNAME": "KEYRING:x", "KRB5_CONFIG": "/k"}
    given = environment("/c", ours)
    assert given == {"LANG": "de_DE.UTF-8", "LC_ALL": "C", "KRB5CCNAME": "FILE:/c", "KRB5_CONFIG": "/k"}


async def _in_a_child(cache: Path) -> object:
    async with FileChild({"renew": "caf.storage.credentials:renew_in_child"}) as child:
        return await child.call("renew", GET, [], str(cache), 10.0, NOW, timeout=30)


def test_it_is_done_by_a_file_child_too(bench: Bench) -> None:
    told = asyncio.run(_in_a_child(bench.cache))
    assert isinstance(told, dict)
    assert told["step"] == DONE
    only_the_cache(bench)


def test_commands_are_run_in_the_same_folder_wherever_they_are_tried(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `caf check` would promise what the supervisor cannot do."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "caf.keytab").touch()
    told = renew(["sh", "-c", "pwd; cat caf.keytab"], [], str(bench.cache), 10.0, NOW)
    assert (told["step"], told["code"]) == (RENEW, 1)
    told = renew(["sh", "-c", "test $(pwd) = /"], ["sh", "-c", "test $(pwd) = /"], str(bench.cache), 10.0, NOW)
    assert told["step"] == DONE

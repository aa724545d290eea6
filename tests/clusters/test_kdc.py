"""Credentials from a real KDC: tickets of seconds are renewed for ever, and every failure is told for what it is."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from caf.domain import credentials as words
from caf.domain.credentials import Trouble, trouble
from caf.storage.credentials import DONE, renew
from tests.clusters.kdc import KDC, PRINCIPAL, running
from tests.postoffice import PostOffice
from tests.world import Supervisor, World, wait_until

RUN = 490001
LIFE = 6.0  # s

ASK = 'echo "$0 $(klist -s && echo good || echo none) $KRB5CCNAME" >>{seen}'


@pytest.fixture
def kdc(monkeypatch: pytest.MonkeyPatch) -> Iterator[KDC]:
    """Have a KDC that this process, and whatever it starts, talks to."""
    with running(LIFE) as one:
        for name, text in one.environment.items():
            monkeypatch.setenv(name, text)
        monkeypatch.setenv("KRB5CCNAME", f"FILE:{one.folder}/somebody-elses")
        yield one


def with_credentials(world: World, command: list[str], more: str = "") -> World:
    quoted = ", ".join(f"'{word}'" for word in command)
    with world.config.open("a") as file:
        file.write(f'\n[credentials]\nrenew = [{quoted}]\ntimeout = "2s"\n{more}')
    return world


def cache_of(world: World) -> Path:
    return world.folder / "state" / "credentials" / "krb5cc"


def needs(world: World) -> str:
    return " ".join(world.caf("status", check=False).stdout.split())


def test_everything_that_caf_starts_has_a_good_ticket_for_longer_than_one_lives(kdc: KDC, tmp_path: Path) -> None:
    """Payload, check command, after-script, and whoever reads the cache at any instant."""
    seen = tmp_path / "seen"
    ask = ASK.format(seen=seen)
    job = f'after = {{ done = [["sh", "-c", \'{ask}\', "after"]] }}\n'
    body = f"for i in 1 2 3 4 5 6 7 8 9 10; do sh -c '{ask}' payload; sleep 1; done"
    world = World(tmp_path, [RUN], body=body, job=job)
    check = f'check = ["sh", "-c", \'{ask}\', "check"]'
    world.edit('outputs = ["root/out"]', f'outputs = ["root/out"], {check}')
    with_credentials(world, kdc.kinit, 'after = ["touch", "tokens"]\n'.replace("tokens", str(tmp_path / "tokens")))
    watch = f"while klist -s -c {shlex.quote(str(cache_of(world)))}; do :; done; date >{tmp_path}/gap"
    with world.running() as process:
        looking = subprocess.Popen(["sh", "-c", watch], start_new_session=True)
        try:
            wait_until(lambda: seen.exists() and "after " in seen.read_text(), 60, "the after-script")
        finally:
            looking.kill()
            looking.wait()
        assert world.stop(process) == 0
    lines = [line.split() for line in seen.read_text().splitlines()]
    assert {line[0] for line in lines} == {"payload", "check", "after"}
    assert {(line[1], line[2]) for line in lines} == {("good", f"FILE:{cache_of(world)}")}
    assert not (tmp_path / "gap").exists(), "the cache was not there, or not whole, for an instant"
    renewals = [line for line in world.log() if line["event"] == "credentials.renewed"]
    assert 3 <= len(renewals) <= 12
    assert (tmp_path / "tokens").exists()
    assert cache_of(world).stat().st_mode & 0o777 == 0o600
    assert not Path(f"{kdc.folder}/somebody-elses").exists()


def hung(kdc: KDC) -> list[str]:
    kdc.hang()
    return kdc.kinit


def gone(kdc: KDC) -> list[str]:
    kdc.end()
    return kdc.kinit


def changed(kdc: KDC) -> list[str]:
    kdc.change_key(kdc.folder / "new.keytab")
    return kdc.kinit


def changed_with_preauthentication(kdc: KDC) -> list[str]:
    kdc.admin("modprinc", "+requires_preauth", PRINCIPAL)
    return changed(kdc)


def locked(kdc: KDC) -> list[str]:
    kdc.admin("modprinc", "-allow_tix", PRINCIPAL)
    return kdc.kinit


def empty(kdc: KDC) -> list[str]:
    kdc.keytab.write_text("")
    return kdc.kinit


KINIT = ["kinit", "-k", "-t"]
FAILURES: dict[str, tuple[Callable[[KDC], list[str]], Trouble]] = {
    "gone": (gone, words.AWAY),
    "hung": (hung, words.HUNG),
    "keytab missing": (lambda kdc: [*KINIT, f"{kdc.folder}/none", PRINCIPAL], words.KEYTAB),
    "keytab empty": (empty, words.BROKEN),
    "wrong principal": (lambda kdc: [*KINIT, str(kdc.keytab), "other@CAF.TEST"], words.PRINCIPAL),
    "key changed": (changed, words.KEY),
    "key changed, preauthentication": (changed_with_preauthentication, words.KEY),
    "locked": (locked, words.ACCOUNT),
    "nothing to renew": (lambda _: ["kinit", "-R"], words.RENEWABLE),
    "a password": (lambda _: ["kinit", PRINCIPAL], words.PASSWORD),
}


@pytest.mark.parametrize("what", FAILURES)
def test_every_failure_is_told_for_what_it_is(what: str, kdc: KDC, tmp_path: Path) -> None:
    fail, expected = FAILURES[what]
    command = fail(kdc)
    begun = time.monotonic()
    told = renew(command, (), str(tmp_path / "cc"), 1.5, time.time())
    assert time.monotonic() - begun < 5
    assert trouble(told["code"], told["words"]) == expected, told
    assert os.listdir(tmp_path) == []


def test_a_ticket_is_renewed_while_it_lives_and_cannot_be_once_it_has_ended(kdc: KDC, tmp_path: Path) -> None:
    """`kinit -R` finds the ticket that is there, in the second cache as well."""
    cache = tmp_path / "cc"
    first = renew(kdc.kinit, (), str(cache), 5.0, time.time())
    again = renew(["kinit", "-R"], (), str(cache), 5.0, time.time())
    assert (first["step"], again["step"]) == (DONE, DONE)
    assert abs(first["expires"] - time.time() - LIFE) < 2
    wait_until(lambda: time.time() > again["expires"] + 3, 20, "its end, and the clocks' difference that is allowed")
    before = cache.read_bytes()
    late = renew(["kinit", "-R"], (), str(cache), 5.0, time.time())
    assert trouble(late["code"], late["words"]) == words.RENEWABLE
    assert cache.read_bytes() == before


def test_a_changed_key_is_mailed_once_shown_and_forgotten_once_it_is_put_right(kdc: KDC, tmp_path: Path) -> None:
    with PostOffice().open() as office:
        world = with_credentials(World(tmp_path, [RUN]), kdc.kinit, 'every = "1s"\n')
        with world.config.open("a") as file:
            file.write(f'\n[mail]\nserver = "{office.url}"\nto = ["ann@example.org"]\nevery = "1s"\n')
        mails(world, kdc, office)


def hup(process: Supervisor) -> bool:
    """Have a round of every duty begin; a lasting failure is tried again only after `every`."""
    process.send_signal(signal.SIGHUP)
    return True


def mails(world: World, kdc: KDC, office: PostOffice) -> None:
    told = "its key was changed elsewhere: make a new keytab"
    with world.running(before="from caf.tasks.mail import round\nround.ROUND = 0.5") as process:
        kdc.change_key(kdc.folder / "new.keytab")
        wait_until(lambda: told in needs(world), 30, "the complaint")
        assert "the ticket in use" in needs(world)
        wait_until(lambda: any("credentials" in str(one["Subject"]) for one in office.mails), 30, "the mail")
        failures = world.new_log().count('"credentials.failed"')
        wait_until(lambda: hup(process) and world.new_log().count('"credentials.failed"') > failures + 2, 30, "more")
        os.replace(kdc.folder / "new.keytab", kdc.keytab)
        wait_until(lambda: hup(process) and told not in needs(world), 30, "the end of the complaint")
        assert world.stop(process) == 0
    about = [str(one.get_content()) for one in office.mails if "credentials" in str(one["Subject"])]
    assert len(about) == 1
    assert " ".join(told.split()) in " ".join(about[0].split())
    assert "caf check" in about[0]


def test_check_gets_a_ticket_and_leaves_the_supervisors_alone(kdc: KDC, tmp_path: Path) -> None:
    world = with_credentials(World(tmp_path, [RUN]), kdc.kinit, "after = ['touch', 'here']\n")
    said = " ".join(world.caf("check", check=False).stdout.split())
    assert "ok credentials: are renewed, good until 20" in said
    assert not (tmp_path / "state" / "credentials").exists()
    kdc.end()
    done = world.caf("check", check=False)
    assert done.returncode == 1
    assert "BAD credentials: no KDC answers (kinit: Cannot contact any KDC" in " ".join(done.stdout.split())


def test_a_killed_supervisor_leaves_no_kinit_behind(kdc: KDC, tmp_path: Path) -> None:
    """It would write into the second cache of the next one."""
    pid = tmp_path / "pid"
    script = tmp_path / "renew"
    script.write_text(f"#!/bin/sh\necho $$ >{pid}.new; mv {pid}.new {pid}; exec {shlex.join(kdc.kinit)}\n")
    script.chmod(0o755)
    kdc.hang()
    world = with_credentials(World(tmp_path, [RUN]), [str(script)])
    world.edit('timeout = "2s"', 'timeout = "60s"')
    process = world.supervisor()
    try:
        wait_until(pid.exists, what="the command")
    finally:
        process.kill()
        process.wait()
    number = int(pid.read_text())
    wait_until(lambda: not Path(f"/proc/{number}").exists(), 10, "its end")

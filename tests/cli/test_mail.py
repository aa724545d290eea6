"""`caf check` asks whether the mail server answers, and sends nothing."""

import time

import pytest

from caf.cli import mailserver
from tests.cli.pretend import Site
from tests.postoffice import PostOffice, free_port, speaking


def with_mail(site: Site, server: str) -> None:
    text = site.config.read_text().partition("[mail]")[0]
    site.config.write_text(f'{text}\n[mail]\nserver = "{server}"\nto = ["ann@example.org"]\n')


def test_a_server_that_answers_is_told_nothing_but_good_day(empty: Site) -> None:
    with PostOffice().open() as office:
        with_mail(empty, office.url)
        assert f"ok    mail: {office.url} answers, without TLS; nothing was sent" in empty.caf("check").out
    assert office.commands == ["EHLO"]


def test_a_server_that_is_away_is_a_finding(empty: Site) -> None:
    with_mail(empty, f"smtp://127.0.0.1:{free_port()}")
    answer = empty.caf("check")
    assert answer.status == 1
    assert "does not answer: Connection refused: correct [mail] server" in " ".join(answer.out.split())


def test_a_server_that_never_says_anything_is_given_up(empty: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailserver, "LIMIT", 0.5)
    begun = time.monotonic()
    with speaking(None) as url:
        with_mail(empty, url)
        answer = empty.caf("check")
    assert (answer.status, "does not answer within 0.5 s" in " ".join(answer.out.split())) == (1, True)
    assert time.monotonic() - begun < 15


def test_own_addresses_without_mail_are_named(empty: Site) -> None:
    text = empty.config.read_text()
    empty.config.write_text(text.replace("validate = true\n", 'validate = true\nmail = ["ann@example.org"]\n'))
    assert "jobs.L1CaloCalibD3PD.mail does nothing without [mail]" in " ".join(empty.caf("check").out.split())

"""Handing a mail to a real SMTP server, one that is well and one that is not."""

import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf import smtp
from caf.domain.errors import MailError, MailServerAway
from tests.postoffice import PostOffice, certificate, free_port, speaking

LETTER = {
    "address": "ann@example.org",
    "subject": "[caf node7] 1 job failed",
    "body": "1 job failed\n- 490003 Fit: `caf jobs why 490003 Fit`\n",
    "message_id": "<caf-0123abcd-1@node7>",
    "created": 1_800_000_000.0,
    "list_id": "<0123abcd.caf.node7>",
}


def letter(**changes: Any) -> dict[str, Any]:
    return LETTER | changes


def test_a_letter_arrives_as_it_was_written_and_marked_as_a_programs() -> None:
    with PostOffice().open() as office:
        smtp.send(office.url, "caf@example.org", letter(body="naïve Σ\n.\n.. dots\n" + "x" * 3000 + "\n"))
    (mail,) = office.mails
    assert mail.get_content().replace("\r\n", "\n") == "naïve Σ\n.\n.. dots\n" + "x" * 3000 + "\n"
    assert (mail["From"], mail["To"]) == ("caf@example.org", "ann@example.org")
    assert mail["Date"] == "Fri, 15 Jan 2027 08:00:00 +0000"
    assert mail["Message-ID"] == LETTER["message_id"]
    assert (mail["Auto-Submitted"], mail["List-Id"]) == ("auto-generated", LETTER["list_id"])
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content_charset() == "utf-8"
    assert all(len(line) < 998 for line in office.bytes_taken[0].split(b"\r\n"))


def test_without_from_it_is_this_machines() -> None:
    with PostOffice().open() as office:
        smtp.send(office.url, None, LETTER)
    assert str(office.mails[0]["From"]).startswith("caf@")


@given(st.text())
def test_no_text_can_add_a_header_or_end_the_mail(text: str) -> None:
    mail = smtp.message("caf@example.org", letter(body=text))
    names = {"From", "To", "Subject", "Date", "Message-ID", "List-Id", "Auto-Submitted", "X-Auto-Response-Suppress"}
    assert set(mail.keys()) - names == {"Content-Type", "Content-Transfer-Encoding", "MIME-Version"}
    head = mail.as_bytes().split(b"\r\n\r\n")[0]
    assert head.count(b"\r\n") == len(mail.keys()) - 1


@pytest.mark.parametrize("field", ["address", "subject", "message_id", "list_id"])
def test_a_line_break_in_a_header_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=r"linefeed|invalid|parse"):
        smtp.message("caf@example.org", letter(**{field: "x\r\nBcc: all@example.org"}))


@pytest.mark.parametrize(
    ("office", "said"),
    [
        (
            PostOffice(recipients={"ann@example.org": "550 5.1.1 no such user"}),
            "ann@example.org: 550 5.1.1 no such user",
        ),
        (PostOffice(recipients={"ann@example.org": "450 4.2.0 greylisted"}), "450 4.2.0 greylisted"),
        (PostOffice(sender_answer="553 who are you"), "mail from caf@example.org: 553 who are you; see [mail] from"),
        (PostOffice(answers=["554 smells of spam"]), "did not take the mail: 554 smells of spam"),
    ],
    ids=["no such user", "greylisted", "sender", "content"],
)
def test_what_the_server_does_not_take_is_told_in_its_own_words(office: PostOffice, said: str) -> None:
    with office.open(), pytest.raises(MailError) as caught:
        smtp.send(office.url, "caf@example.org", LETTER)
    assert not isinstance(caught.value, MailServerAway)
    assert said in str(caught.value)
    assert office.mails == []


def test_nobody_there() -> None:
    with pytest.raises(MailServerAway, match="does not answer: Connection refused"):
        smtp.send(f"smtp://127.0.0.1:{free_port()}", "caf@example.org", LETTER)


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"\0\xff\xfe\x01 rubbish\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"554 no service\r\n",
        b"220 " + b"x" * 20_000,
    ],
    ids=["hangs up", "binary", "http", "no service", "endless line"],
)
def test_something_else_listens_there(words: bytes) -> None:
    with speaking(words) as url, pytest.raises(MailServerAway, match=r"127\.0\.0\.1"):
        smtp.send(url, "caf@example.org", LETTER)
    with speaking(words) as url, pytest.raises(MailServerAway):
        smtp.greet(url)


def test_a_silent_server_and_one_that_hangs_after_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "STEP", 0.2)
    with speaking(None) as url, pytest.raises(MailServerAway, match=r"silent for 0\.2 s"):
        smtp.send(url, "caf@example.org", LETTER)
    begun = time.monotonic()
    with PostOffice(hangs=True).open() as office, pytest.raises(MailServerAway, match=r"broke off: silent"):
        smtp.send(office.url, "caf@example.org", LETTER)
    assert time.monotonic() - begun < 20
    assert office.commands[-1] == "DATA"


def test_a_connection_that_is_dropped_after_data() -> None:
    with PostOffice(drops=True).open() as office, pytest.raises(MailServerAway, match="broke off"):
        smtp.send(office.url, "caf@example.org", LETTER)


def test_starttls_is_used_where_it_is_offered_whoever_signed_the_certificate(tmp_path: Path) -> None:
    context, _ = certificate(tmp_path)
    with PostOffice().open(tls_context=context) as office:
        assert smtp.greet(office.url)
        smtp.send(office.url, "caf@example.org", LETTER)
    assert office.encrypted == [True]


def test_a_starttls_that_does_not_work_is_done_without(tmp_path: Path) -> None:
    certificate(tmp_path)
    broken = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # it has no certificate, so no handshake succeeds
    with PostOffice().open(tls_context=broken) as office:
        smtp.send(office.url, "caf@example.org", LETTER)
    assert office.encrypted == [False]


def test_smtps_wants_a_certificate_that_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, trusted = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with PostOffice().open(ssl_context=context) as office:
        smtp.send(office.url, "caf@example.org", LETTER)
        assert not smtp.greet(office.url)
        monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
        with pytest.raises(MailServerAway, match="certificate"):
            smtp.send(office.url, "caf@example.org", LETTER)
    assert len(office.mails) == 1


def test_greeting_sends_nothing() -> None:
    with PostOffice().open() as office:
        assert not smtp.greet(office.url)
    assert office.commands == ["EHLO"]

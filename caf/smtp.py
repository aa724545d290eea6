"""Handing a mail to an SMTP server. It is done in a child process, since a server can keep anybody waiting for ever.

`smtp://` takes STARTTLS where the server offers it, without asking who it is: without TLS nobody would ask either.
`smtps://` is TLS from the first byte, with a certificate that this machine trusts.
"""

import smtplib
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

from caf.domain.errors import MailError, MailServerAway

STEP = 20.0  # s that the server may take for one answer
LONGEST_LINE = 900  # bytes; RFC 5322 allows 998
TEXT = 300  # characters of a server's answer that are shown


def send(server: str, sender: str | None, letter: dict[str, Any]) -> None:
    """Send one letter: address, subject, body, message_id, created (s since 1970), list_id.

    `sender` None: caf@ and this machine's full name. MailServerAway if no mail server can be talked to; MailError if
    it does not take this letter. When it has taken it, nothing that comes after is an error.
    """
    sender = sender or f"caf@{socket.getfqdn()}"
    data = message(sender, letter).as_bytes()
    smtp = _greeted(server)
    try:
        smtp.sendmail(sender, [letter["address"]], data)
    except smtplib.SMTPRecipientsRefused as refusal:
        code, text = next(iter(refusal.recipients.values()))
        raise MailError(f"{_place(server)} does not take mail for {letter['address']}: {_said(code, text)}") from None
    except smtplib.SMTPSenderRefused as refusal:
        said = _said(refusal.smtp_code, refusal.smtp_error)
        raise MailError(f"{_place(server)} does not take mail from {sender}: {said}; see [mail] from") from None
    except smtplib.SMTPResponseException as refusal:
        said = _said(refusal.smtp_code, refusal.smtp_error)
        raise MailError(f"{_place(server)} did not take the mail: {said}") from None
    except (OSError, smtplib.SMTPException) as error:
        raise MailServerAway(f"{_place(server)} broke off: {_why(error)}") from None
    else:
        with suppress(OSError, smtplib.SMTPException):
            smtp.quit()
    finally:
        smtp.close()


def greet(server: str) -> bool:
    """Greet a server and take leave, without sending anything; tell whether it offers STARTTLS."""
    smtp = _greeted(server, starttls=False)
    try:
        return smtp.has_extn("starttls")
    finally:
        with suppress(OSError, smtplib.SMTPException):
            smtp.quit()
        smtp.close()


def message(sender: str, letter: dict[str, Any]) -> EmailMessage:
    """Put a letter into the form of RFC 5322: plain text in UTF-8, marked as written by a program."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = letter["address"]
    mail["Subject"] = letter["subject"]
    mail["Date"] = format_datetime(datetime.fromtimestamp(letter["created"], UTC))
    mail["Message-ID"] = letter["message_id"]
    mail["List-Id"] = letter["list_id"]
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    body = letter["body"].encode("utf-8", "replace").decode("utf-8")
    plain = body.isascii() and max(map(len, body.splitlines()), default=0) <= LONGEST_LINE
    mail.set_content(body, charset="utf-8", cte="7bit" if plain else "quoted-printable")
    return mail


def _greeted(server: str, *, starttls: bool = True) -> smtplib.SMTP:
    """Connect and say EHLO. Where STARTTLS is offered but does not work, go on without, as mail servers do."""
    smtp = _connected(server)
    if not starttls or isinstance(smtp, smtplib.SMTP_SSL) or not smtp.has_extn("starttls"):
        return smtp
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        smtp.starttls(context=context)
        smtp.ehlo_or_helo_if_needed()
    except (OSError, smtplib.SMTPException):
        smtp.close()
        return _connected(server)
    return smtp


def _connected(server: str) -> smtplib.SMTP:
    parts = urlsplit(server)
    host = parts.hostname or "localhost"
    try:
        smtp: smtplib.SMTP
        if parts.scheme == "smtps":
            smtp = smtplib.SMTP_SSL(host, parts.port or 465, timeout=STEP, context=ssl.create_default_context())
        else:
            smtp = smtplib.SMTP(host, parts.port or 25, timeout=STEP)
    except (OSError, smtplib.SMTPException) as error:
        raise MailServerAway(f"{_place(server)} does not answer: {_why(error)}") from None
    try:
        smtp.ehlo_or_helo_if_needed()
    except (OSError, smtplib.SMTPException) as error:
        smtp.close()
        raise MailServerAway(f"{_place(server)} does not greet as a mail server: {_why(error)}") from None
    return smtp


def _place(server: str) -> str:
    parts = urlsplit(server)
    return f"{parts.hostname}:{parts.port or (465 if parts.scheme == 'smtps' else 25)}"


def _said(code: int, text: bytes | str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(words.split())}"[:TEXT].strip()


def _why(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return _said(error.smtp_code, error.smtp_error)
    if isinstance(error, TimeoutError) or str(error).endswith("timed out"):
        return f"silent for {STEP:g} s"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:TEXT] or type(error).__name__

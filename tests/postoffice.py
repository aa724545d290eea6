"""A real SMTP server on loopback, that does to mail what a test tells it to, and keeps what it has taken."""

import asyncio
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP


@dataclass
class PostOffice:
    """The server's handler. `recipients` and `answers` are what is said to RCPT (by address) and after DATA."""

    recipients: dict[str, str] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)
    sender_answer: str | None = None
    hangs: bool = False
    drops: bool = False
    on_data: Callable[[], None] | None = None
    mails: list[EmailMessage] = field(default_factory=list)
    bytes_taken: list[bytes] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    _controller: Any = None

    async def handle_EHLO(self, server: SMTP, session: Any, envelope: Any, hostname: str, responses: list[str]) -> Any:
        self.commands.append("EHLO")
        session.host_name = hostname
        return responses

    async def handle_MAIL(self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        self.commands.append("MAIL")
        if self.sender_answer is not None:
            return self.sender_answer
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        self.commands.append(f"RCPT {address}")
        answer = self.recipients.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        self.commands.append("DATA")
        if self.hangs:
            await asyncio.sleep(3600)
        if self.drops:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
            return "250 never seen"
        answer = self.answers.pop(0) if self.answers else "250 taken"
        if answer.startswith("250"):
            self.bytes_taken.append(envelope.content)
            self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
            self.encrypted.append(session.ssl is not None)
            if self.on_data is not None:
                self.on_data()
        return answer

    @property
    def url(self) -> str:
        """Where it is, as listeners.toml says it."""
        scheme = "smtps" if self._controller.ssl_context is not None else "smtp"
        return f"{scheme}://127.0.0.1:{self._controller.port}"

    @contextmanager
    def open(self, *, port: int = 0, **options: Any) -> Iterator[Self]:
        """Have it serve for the length of the block."""
        self._controller = Controller(self, hostname="127.0.0.1", port=port or free_port(), **options)
        self._controller.start()
        try:
            yield self
        finally:
            self._controller.stop(no_assert=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def speaking(words: bytes | None) -> Iterator[str]:
    """Have something listen that is no mail server: it says these words to everybody and hangs up; None: nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()
        kept: list[socket.socket] = []

        def serve() -> None:
            while not ended.is_set():
                with suppress(OSError):
                    client, _ = server.accept()
                    if words is None:
                        kept.append(client)
                        continue
                    client.sendall(words)
                    client.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"smtp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for client in kept:
                client.close()


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Make a certificate for localhost and 127.0.0.1; gives a server's context and the file to trust."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    more = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command.split(), *more], check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert

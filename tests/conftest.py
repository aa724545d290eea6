"""What holds for all tests: signals do what they do in a terminal, and no test leaves its umask to the next."""

import os
import signal
from collections.abc import Iterator

import pytest

for number, disposition in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(number) is signal.SIG_IGN:  # inherited, and every child would inherit it in turn
        signal.signal(number, disposition)


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """Put the umask back: a supervisor that is run in the tests' own process sets it."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)

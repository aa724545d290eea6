"""The local batch system does what every one has to do."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from caf.batch.local import LocalBatch
from caf.batch.processes import survivors
from tests.batch.conformance import Conformance, System


class TestLocal(Conformance):
    @pytest.fixture
    def system(self, place: Path) -> Iterator[System]:
        yield System(lambda limit, told: LocalBatch(lambda: None, clock=time.time))
        for area in (place / "work").glob("*"):
            for pid in survivors(area.name):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

"""What caf asks of a batch system, whichever it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from caf.domain.errors import BatchError
from caf.domain.following import Sighting


class BatchRefused(BatchError):
    """The batch system said no: nothing was accepted. Its own words are in the message."""

    transient = False


@dataclass(frozen=True, slots=True)
class Submission:
    """One attempt to be started: `sh SCRIPT`, wherever the batch system likes. Memory in bytes, walltime in s."""

    token: str
    script: str
    queue: str | None = None
    group: str | None = None
    cpus: int = 1
    memory: int | None = None
    walltime: float | None = None
    options: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True)
class Watched:
    """One attempt to be looked up. `start` is its start record, where there is one: host, boot, pid, start_ticks."""

    token: str
    batch_id: str | None = None
    start: Mapping[str, object] | None = None


class Batch(Protocol):
    """A batch system. Every call has its own time limit; none of them decides what becomes of a job."""

    @property
    def submit_grace(self) -> float | None:
        """How long (s) an accepted job may stay invisible; None: as configured."""

    @property
    def keeps_walltime(self) -> bool:
        """Whether the system itself ends a job that exceeds its walltime."""

    async def submit(self, submission: Submission) -> Sighting:
        """Hand over one attempt. BatchRefused: it was not accepted. BatchError: it may or may not have been."""

    async def look(self, watched: Sequence[Watched]) -> dict[str, Sighting]:
        """Look all of these up at once, by token; what is not in the answer is UNKNOWN."""

    async def cancel(self, watched: Sequence[Watched]) -> None:
        """Ask for the end of these; whether they ended is found by looking."""

    async def close(self) -> None:
        """Let go of everything that belongs to this process. Running jobs go on."""

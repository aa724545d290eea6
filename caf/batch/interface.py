"""What caf asks of a batch system, whichever it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from caf.domain.errors import BatchError
from caf.domain.following import Sighting


class BatchRefused(BatchError):
    """The batch system said no: nothing was accepted. Its own words are in the message."""

    transient = False


class BatchFull(BatchRefused):
    """It takes no more now: nothing was accepted, and that passes by itself, as other jobs end."""

    transient = True


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
    """One attempt to be looked up. `start` is its start record, where there is one: host, boot, pid, start_ticks.

    To be ended with it are all batch jobs that carry the token; with `alone` only the one that `batch_id` names.
    `asked` is when (s since 1970) its token was stored, where that is known: nothing with it is older. `area` is its
    working area, where batch systems may write, too.
    """

    token: str
    batch_id: str | None = None
    start: Mapping[str, object] | None = None
    alone: bool = False
    asked: float | None = None
    area: str | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """What a batch system has under an id: the id as it writes it, the names by which a job of caf's is known (its
    token is among them), and in a few words what it is."""

    batch_id: str
    names: frozenset[str]
    what: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `caf check` says of a batch system. `word` is ok, note, warn, BAD, or nothing: it belongs to what
    was said before."""

    word: str
    text: str


class Batch(Protocol):
    """A batch system. Every call has its own time limit; none of them decides what becomes of a job."""

    @property
    def submit_grace(self) -> float | None:
        """How long (s) an accepted job may stay invisible; None: as configured."""

    @property
    def keeps_walltime(self) -> bool:
        """Whether the system itself ends a job that exceeds its walltime."""

    @property
    def id_variable(self) -> str | None:
        """The environment variable in which a job finds its own batch id; None: it cannot know it."""

    @property
    def has_groups(self) -> bool:
        """Whether it knows groups that share slots; without them `group_slots` has no meaning."""

    async def group_use(self, group: str) -> int | None:
        """Give how many slots the jobs of a group hold that are not caf's own; None: not known.

        Those that run or are certain to, not those that wait. BatchError if the system does not answer.
        """

    async def submit(self, submission: Submission) -> Sighting:
        """Hand over one attempt. BatchRefused: it was not accepted. BatchError: it may or may not have been."""

    async def look(self, watched: Sequence[Watched]) -> dict[str, Sighting]:
        """Look all of these up at once, by token; what is not in the answer is UNKNOWN.

        Where several batch jobs carry one token the answer is `together` of them. An id alone tells nothing: batch
        systems use them again for other jobs.
        """

    async def cancel(self, watched: Sequence[Watched]) -> None:
        """Ask for the end of these; whether they ended is found by looking."""

    async def close(self) -> None:
        """Let go of everything that belongs to this process. Running jobs go on."""


class SiteBatch(Batch, Protocol):
    """A batch system of a site's own, which is reached through its clients."""

    async def named(self, batch_id: str) -> Named | None:
        """Tell what has this id, whoever's it is; None: nothing, or nothing any more. BatchError if nobody answers."""

    async def examine(self, submissions: Mapping[str, Submission]) -> list[Finding]:
        """Tell, for `caf check`, which client and version answers, whether each job's queue is there, and what would be
        handed over for each job. Nothing is submitted. BatchError if a client is missing or nobody answers."""

"""Which batch systems there are, and how each is made."""

from collections.abc import Callable
from dataclasses import dataclass

from caf.batch import htcondor, lsf, slurm
from caf.batch.clients import Clients, Needs
from caf.batch.interface import Batch, SiteBatch
from caf.batch.local import LocalBatch

SITES: dict[str, tuple[Needs, Callable[[str, Clients], SiteBatch]]] = {
    "slurm": (slurm.CLIENTS, slurm.SlurmBatch),
    "htcondor": (htcondor.CLIENTS, htcondor.HTCondorBatch),
    "lsf": (lsf.CLIENTS, lsf.LsfBatch),
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a batch system is given: whose jobs are its own, how long (s) a client may take, who is told of what.

    `unreadable` is told the client and its words in full; `on_end` that a local job has ended; `clock` gives seconds
    since 1970, `slots` how many local jobs may run at once.
    """

    database_id: str
    limit: Callable[[], float]
    unreadable: Callable[[str, str], None]
    on_end: Callable[[], None]
    clock: Callable[[], float]
    slots: Callable[[], int] = lambda: 1


def make(kind: str, given: Surroundings) -> Batch:
    """Make the batch system of `[batch] kind`."""
    return LocalBatch(given.on_end, clock=given.clock, slots=given.slots) if kind == "local" else site(kind, given)


def site(kind: str, given: Surroundings) -> SiteBatch:
    """Make one that is not local."""
    needs, system = SITES[kind]
    return system(f"caf-{given.database_id}-", Clients(needs, given.limit, given.unreadable))

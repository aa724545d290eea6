"""What the parts of one round of the clean duty share."""

from dataclasses import dataclass

from caf.config.tables import QuotaTable
from caf.domain.accounts import Counts
from caf.domain.cleaning import reads_as
from caf.storage.child import FileChild
from caf.tasks.house import House


@dataclass(slots=True)
class Cleaned:
    """What one round did. `again_in` is when (s) another one is worth while, if before the usual time."""

    areas: int = 0
    freed: int = 0  # bytes on disk
    again_in: float | None = None

    def summary(self) -> str | None:
        """Say what happened, if anything did."""
        if not self.areas:
            return None
        return f"{self.areas} working area{'s' * (self.areas != 1)} removed, {reads_as(Counts.DISK, self.freed)}"


@dataclass(slots=True)
class Round:
    """What its parts share."""

    house: House
    table: QuotaTable
    files: FileChild
    until: float
    done: Cleaned

    @property
    def over(self) -> bool:
        """Tell whether its time is over; the next round goes on."""
        return self.house.clock() >= self.until

"""What statvfs says of a file system: bytes, and inodes, which may run out first."""

from collections.abc import Mapping

from caf.domain.accounts import Account, Counts, Use
from caf.domain.errors import QuotaError

OF = "the file system"


def read(found: Mapping[str, int]) -> Account:
    """Read statvfs's fields (frsize, blocks, bfree, bavail, files, ffree, favail) as two limits.

    As df has it: what is kept for root counts neither as used nor as free. A file system without inodes of its own
    (btrfs, most network ones) says 0, which is no limit. QuotaError where the numbers cannot be true.
    """
    uses = []
    for counts, unit, all_, free, mine in (
        (Counts.DISK, found["frsize"], found["blocks"], found["bfree"], found["bavail"]),
        (Counts.FILES, 1, found["files"], found["ffree"], found["favail"]),
    ):
        if not 0 <= mine <= free <= all_ or unit <= 0:
            raise QuotaError(
                f"the file system says that {mine} of {free} free and {all_} in all are ours, which cannot be: "
                "use another `provider` in [quota]"
            )
        used = (all_ - free) * unit
        uses.append(Use(OF, counts, used, used + mine * unit if all_ else None))
    if uses[0].limit is None:
        raise QuotaError("the file system does not say how large it is: use another `provider` in [quota]")
    return Account(tuple(uses))

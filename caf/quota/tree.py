"""A tree of files with a limit of our own: the sum of the files' sizes."""

from collections.abc import Mapping

from caf.domain.accounts import Account, Counts, Use


def read(path: str, weight: Mapping[str, int], limit: int) -> Account:
    """Take what weighing a tree gave (sizes, in bytes) against the limit of the configuration."""
    return Account((Use(f"all below {path}", Counts.SIZES, weight["sizes"], limit),))

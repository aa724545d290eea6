"""What the file asks for and nothing acts on, because the table that it needs is not there: `caf check` says so."""

from collections.abc import Collection, Mapping

from caf.config.lines import Key
from caf.config.work import JobTable

JOB_KEYS = {"mail": "mail", "show": "report", "removable": "quota", "keep_newest": "quota"}
"""Keys of a job, and the table without which they do nothing."""


def unheeded(absent: Collection[str], jobs: Mapping[str, JobTable]) -> list[Key]:
    """Give the ways to the keys that need one of the absent tables; what a file merely writes down asks for nothing."""
    return [
        ("jobs", name, key)
        for name, job in jobs.items()
        for key, table in JOB_KEYS.items()
        if table in absent and getattr(job, key)
    ]

"""What this version reads but does not act on yet, so that `caf check` can say so."""

from collections.abc import Mapping

from pydantic import BaseModel

from caf.config.lines import Key
from caf.config.work import JobTable, ListenerTable

OPTIONAL_TABLES = ("quota", "report", "credentials")
JOB_KEYS = {
    "removable": "removable",
    "show": "show",
}
"""Fields of a job and the keys that they are read from."""
OTHER_KEYS = {"caf": ("backup", "log"), "duties": ("clean", "report")}


def unheeded(
    tables: Mapping[str, BaseModel | None], listeners: Mapping[str, ListenerTable], jobs: Mapping[str, JobTable]
) -> list[Key]:
    """Give the ways to the tables and keys that the file gives and that nothing acts on."""
    keys: list[Key] = [(name,) for name in OPTIONAL_TABLES if tables[name] is not None]
    for table, names in OTHER_KEYS.items():
        # A file may well write a default down, as the shipped one does: that asks for nothing.
        keys += [(table, name) for name in names if _changed(tables.get(table), name)]
    keys += [("listeners", name, "expect_every") for name, table in listeners.items() if table.expect_every is not None]
    for name, job in jobs.items():
        keys += [
            ("jobs", name, key)
            for field, key in JOB_KEYS.items()
            if field in job.model_fields_set and _asks(job, field)
        ]
        if job.mail and tables.get("mail") is None:  # without [mail] nobody is written to
            keys.append(("jobs", name, "mail"))
    return keys


def _changed(table: BaseModel | None, name: str) -> bool:
    return table is not None and getattr(table, name) != type(table).model_fields[name].default


def _asks(job: JobTable, field: str) -> bool:
    """Tell whether a key asks for something: `removable = false` and an empty list do not."""
    return bool(getattr(job, field))

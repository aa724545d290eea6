"""listeners.toml as typed values, with every error in it as `file:line: key: what it must be`.

Nothing else in caf imports pydantic.
"""

from caf.config.conditions import CorrectionTable
from caf.config.exclusive import check_exclusive, shown
from caf.config.load import Configuration, load, parse
from caf.config.tables import (
    AttributeTable,
    BatchTable,
    CafTable,
    CoolSource,
    CredentialsTable,
    DutiesTable,
    MailTable,
    QuotaTable,
    ReportTable,
    TableSource,
)
from caf.config.work import AfterTable, JobTable, ListenerTable, SuccessTable

__all__ = [
    "AfterTable",
    "AttributeTable",
    "BatchTable",
    "CafTable",
    "Configuration",
    "CoolSource",
    "CorrectionTable",
    "CredentialsTable",
    "DutiesTable",
    "JobTable",
    "ListenerTable",
    "MailTable",
    "QuotaTable",
    "ReportTable",
    "SuccessTable",
    "TableSource",
    "check_exclusive",
    "load",
    "parse",
    "shown",
]

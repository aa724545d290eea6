"""Whether credentials can be renewed: tried once, into a cache that is thrown away."""

import tempfile
import time
from pathlib import Path

from caf.config import CredentialsTable
from caf.domain.errors import CredentialsError
from caf.storage.credentials import DONE, renew
from caf.tasks.credentials import complaint, utc


def tried(table: CredentialsTable) -> float | None:
    """Have the command renew; gives until when (s since 1970) its ticket is good, None if that is not known.

    The command after it is left out, for it may change what the running supervisor uses. CredentialsError says what
    is wrong.
    """
    with tempfile.TemporaryDirectory(prefix="caf-check-") as folder:
        told = renew(table.renew, (), str(Path(folder, "krb5cc")), table.timeout, time.time())
    if told["step"] != DONE:
        raise CredentialsError(complaint(told, table)[0])
    expires: float | None = told["expires"]
    return expires


def good(expires: float | None) -> str:
    """Say how it went."""
    return "are renewed" if expires is None else f"are renewed, good until {utc(expires)}"

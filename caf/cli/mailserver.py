"""Whether the mail server answers. It is asked by a child process that can be given up, for a server may never end."""

import asyncio

from caf.domain.errors import MailServerAway, StorageTimeout
from caf.storage.child import FileChild

LIMIT = 30.0  # s


def greeted(server: str) -> bool:
    """Greet it and take leave; tell whether it offers STARTTLS. MailServerAway if it does not greet."""
    try:
        return asyncio.run(_ask(server))
    except StorageTimeout:
        raise MailServerAway(f"{server} does not answer within {LIMIT:g} s") from None


async def _ask(server: str) -> bool:
    async with FileChild({"greet": "caf.smtp:greet"}) as child:
        return bool(await child.call("greet", server, timeout=LIMIT))

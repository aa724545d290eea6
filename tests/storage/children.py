"""File children for tests. Their calls are, where possible, Python's own."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from caf.storage.child import FileChild

CALLS = {
    "sleep": "time:sleep",
    "leave": "os:_exit",
    "kill": "os:kill",
    "pid": "os:getpid",
    "session": "os:getsid",
    "umask": "os:umask",
    "print": "builtins:print",
    "repeat": "operator:mul",
    "join": "posixpath:join",
    "set": "builtins:set",
    "records": "caf.storage.records:read_records",
    "write_script": "caf.storage.area:write_script",
    "render": "caf.storage.templates:render",
    "expand": "caf.storage.raw:expand",
    "inspect": "caf.storage.inspect:inspect",
    "shell": "subprocess:call",
}


def alive(pid: int) -> bool:
    """Tell whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until_dead(pid: int) -> None:
    deadline = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < deadline, f"{pid} lives on"
        await asyncio.sleep(0.005)


def with_child(test: Callable[[FileChild], Awaitable[None]], **options: Any) -> None:
    """Run a test with a child, and see that nothing of it is left."""

    async def main() -> None:
        async with FileChild(CALLS, **options) as child:
            await test(child)
            last = child.pid
        assert last is None or not alive(last)

    asyncio.run(main())

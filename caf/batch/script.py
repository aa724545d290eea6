"""The script of an attempt: a header with what differs, then the one constant body, wrapper.sh."""

import shlex
from functools import cache
from pathlib import Path

from caf.batch.aside import NOTHING, Aside
from caf.domain.errors import PreparationError

WRAPPER = Path(__file__).with_name("wrapper.sh")


def script(
    *,
    area: str,
    token: str,
    run: int,
    job: str,
    attempt: int,
    command: list[str],
    id_variable: str | None = None,
    aside: Aside = NOTHING,
) -> str:
    """Give the whole text of `caf.sh`, which any batch system starts with `sh`.

    `area` is the absolute path of the attempt's working area, the same on every node; `command` is run in it, found
    along PATH if its first word holds no slash. `id_variable` is where a batch job finds its own id: with it the start
    record tells whose the attempt is. `aside` tells of scratch and copies. PreparationError if no shell can be told.
    """
    if not area.startswith("/"):
        raise PreparationError(f"working area {area!r} is not an absolute path: set `work` in [caf]")
    if not command or not command[0] or command[0].startswith("-"):
        raise PreparationError(f"command {command!r} of job {job} names no program: correct it in listeners.toml")
    if any("\0" in text for text in (area, token, job, *command)):
        raise PreparationError(f"command {command!r} of job {job} holds a NUL character: correct it in listeners.toml")
    header = [
        "#!/bin/sh",
        "# Made by caf for one attempt of one job. Starting it again does nothing: see `claim`.",
        f"caf_area={shlex.quote(area)}",
        f"CAF_RUN={run}",
        f"CAF_JOB={shlex.quote(job)}",
        f"CAF_ATTEMPT={attempt}",
        f"CAF_TOKEN={shlex.quote(token)}",
        f"caf_batch_id=${{{id_variable}-}}" if id_variable else "caf_batch_id=",
        *aside.header(),
        f"set -- {shlex.join(command)}",
    ]
    return "\n".join(header) + "\n" + body(*aside.parts())


@cache
def body(*parts: str) -> str:
    """Give the constant part of every script: wrapper.sh, with these files in place of its lines `#: NAME`."""
    text = WRAPPER.read_text(encoding="utf-8")
    for line in [line for line in text.splitlines(keepends=True) if line.startswith("#: ")]:
        name = line.removeprefix("#: ").strip()
        text = text.replace(line, WRAPPER.with_name(name).read_text(encoding="utf-8") if name in parts else "")
    return text

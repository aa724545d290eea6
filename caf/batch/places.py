"""Where the program of a client is, so that it can be started by its path.

Programs are looked up along PATH, and started, by a launcher: where that hangs, in a folder on AFS, only the launcher
does. That costs a millisecond, a sixth of an sbatch. So a program that stands on a disk of this machine, where nothing
hangs unless everything does, is started directly: a child process looks where it is, and the kernel tells what is
mounted there.
"""

import re

from caf.batch.running import Said
from caf.mounts import LOCAL, mount_of

KEPT = 60.0  # s that an answer counts; a shell keeps it as long as it lives
# Its path without symbolic links, and its beginning.
_LOOK = 'p=$(command -v -- "$1") && p=$(readlink -f -- "$p") && printf "%s\\n" "$p" && head -c 4096 -- "$p"'
# What begins otherwise is a script, whose interpreter may be anywhere. A program names one, too: the kernel reads that.
_ELF = "\x7fELF"
_LOADER = re.compile(r"\0(/[!-~]+/ld[!-~]*)\0")


def look_for(name: str) -> list[str]:
    """Give the arguments of the child that looks where a client's program is; the first is the child's own path."""
    return ["/bin/sh", "-c", _LOOK, "sh", name]


def direct(said: Said) -> str | None:
    """Give the path by which the program can be started, from what the child said; None: by the launcher."""
    path, _, beginning = said.out.partition("\n")
    loader = _LOADER.search(beginning)
    if said.code != 0 or not path.startswith("/") or not beginning.startswith(_ELF) or loader is None:
        return None
    try:
        return path if all(mount_of(one).kind in LOCAL for one in (path, loader[1])) else None
    except OSError:
        return None

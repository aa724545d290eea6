"""Where the program of a client is, so that it can be started by its path.

Programs are looked up along PATH, and started, by a launcher: where that hangs, in a folder on AFS, only the launcher
does. That costs half a client's own time. So a program that stands on a disk of this machine, where nothing hangs
unless everything does, is started directly: a child process looks where it is, and the kernel tells what is mounted
there.
"""

from caf.batch.running import Said
from caf.mounts import LOCAL, mount_of

KEPT = 600.0  # s that an answer counts; a shell keeps it as long as it lives
# Its path without symbolic links, and its first bytes: what begins otherwise is a script, and needs its interpreter.
_LOOK = 'p=$(command -v -- "$1") && p=$(readlink -f -- "$p") && printf "%s\\n" "$p" && head -c 4 -- "$p"'
_ELF = "\x7fELF"


def look_for(name: str) -> list[str]:
    """Give the arguments of the child that looks where a client's program is; the first is the child's own path."""
    return ["/bin/sh", "-c", _LOOK, "sh", name]


def direct(said: Said) -> str | None:
    """Give the path by which the program can be started, from what the child said; None: by the launcher."""
    path, _, magic = said.out.rpartition("\n")
    if said.code != 0 or magic != _ELF or not path.startswith("/"):
        return None
    try:
        return path if mount_of(path).kind in LOCAL else None
    except OSError:
        return None

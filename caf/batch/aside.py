"""What an attempt's script holds besides wrapper.sh where a job has `scratch` or `copy`; nothing of it elsewhere."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

MAGIC = frozenset("*?[")
"""What makes a name in `copy` a pattern."""
KEPT_ANYWAY = ("log/stdout", "log/stderr")


@dataclass(frozen=True, slots=True)
class Aside:
    """Whether the payload runs in the node's scratch, and what is brought back: names there to names in the area.

    A pattern, or a name that goes into a folder, has a target that ends with "/". `log` is brought back too where the
    payload has written it in its scratch.
    """

    scratch: bool = False
    copies: Mapping[str, str] = field(default_factory=dict)
    log: str = KEPT_ANYWAY[0]

    def __bool__(self) -> bool:
        return self.scratch or bool(self.copies)

    def parts(self) -> tuple[str, ...]:
        """Give the names of the files that wrapper.sh takes in, at its lines `#: NAME`."""
        return (("scratch.sh", "remove.sh") if self.scratch else ()) + (("copy.sh",) if self else ())

    def header(self) -> list[str]:
        """Give what differs from job to job, as lines of the script's header."""
        if not self:
            return []
        return ["caf_scratch='' caf_trouble=''", "caf_copies() {", *(f"    {line}" for line in self._calls()), "}"]

    def _calls(self) -> list[str]:
        if self.scratch and self.log not in (*KEPT_ANYWAY, *self.copies.values()):
            calls = [f"caf_bring_log {shlex.quote(self.log)}"]
        else:
            calls = [":"]
        for source, target in self.copies.items():
            if MAGIC & set(source):
                calls.append(f"caf_bring_all {shlex.quote(source)} {shlex.quote(target)}")
            else:
                into = target + source.rpartition("/")[2] if target.endswith("/") else target
                calls.append(f"caf_bring {shlex.quote(source)} {shlex.quote(into)}")
        return calls


NOTHING = Aside()

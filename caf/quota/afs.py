"""What `fs listquota` and `fs quota` say of the AFS volume that holds a path.

listquota prints a header on standard output in any case, also where the path is not in AFS. Numbers are KiB, held in
32 bits by the servers, so that above 2 TiB they are wrong: they count only if they give the percentage beside them.
The partition may be full before the volume is, by what others have; that is shown, and no reason to remove anything.
`fs quota` gives the percentage alone. By the manual pages of OpenAFS 1.8.9; how columns meet, and the marks of what is
nearly full, are from memory.
"""

import re

from caf.domain.accounts import Account, Counts, Use
from caf.domain.errors import QuotaError

BLOCK = 1024  # bytes
_LARGEST = 2**31  # blocks
# "%-25.25s", then a number or "no limit": of a long name nothing stands between the two.
_VOLUME = re.compile(
    r"(?P<name>.{1,25}?)\s*(?<!\d)(?P<most>no limit|-?\d+)\s+(?P<used>-?\d+)\s+(?P<share>-?\d+)%(?:<<)?\s+"
    r"(?P<partition>-?\d+)%(?:<<)?\s*(?:<<WARNING)?\s*"
)
_LONG = re.compile(r"(?P<name>.{25})" + _VOLUME.pattern.partition(r"(?<!\d)")[2])
_SHARE = re.compile(r"\s*(\d+)% of quota used\.?\s*")


def arguments(client: tuple[str, ...], path: str) -> list[str]:
    """Give the command that says most."""
    return [*client, "listquota", path]


def share_arguments(client: tuple[str, ...], path: str) -> list[str]:
    """Give the command that gives the percentage alone, for where the other one's numbers cannot be true."""
    return [*client, "quota", path]


def read(text: str, path: str) -> Account:
    """Read `fs listquota`; QuotaError where it says nothing, or numbers that cannot be true."""
    rows = [row for row in text.splitlines() if row.strip() and not row.startswith("Volume Name")]
    if len(rows) != 1 or (found := _VOLUME.fullmatch(rows[0]) or _LONG.fullmatch(rows[0])) is None:
        raise QuotaError(
            f"fs listquota says nothing of {path} that can be understood: {(rows or ['nothing'])[0][:100]}"
        )
    used = int(found["used"])
    most = None if found["most"] == "no limit" else int(found["most"])
    of = f"volume {found['name'].strip()}"
    if not (0 <= used < _LARGEST and (most is None or 0 < most < _LARGEST)):
        raise QuotaError(f"fs listquota gives numbers of {of} that cannot be true, as it does above 2 TiB")
    if most is not None and abs(100.0 * used / most - int(found["share"])) > 1.0:
        raise QuotaError(f"fs listquota says {found['share']} % of {of}, which its numbers, {used} of {most}, are not")
    limit = None if most is None else most * BLOCK
    remark = f"its partition is {found['partition']} % full"
    return Account((Use(of, Counts.SIZES, used * BLOCK, limit),), of, remark)


def read_share(text: str, path: str) -> Account:
    """Read `fs quota`: the percentage, without what it is of."""
    found = _SHARE.fullmatch(text)
    if found is None:
        raise QuotaError(f"fs quota says nothing of {path} that can be understood: {text.strip()[:100] or 'nothing'}")
    return Account((Use(f"the volume of {path}", Counts.SIZES, told=float(found[1])),), "only its share is known")

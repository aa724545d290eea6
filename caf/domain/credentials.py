"""What Kerberos' programs say: until when a ticket is good, and what is wrong where none was to be had.

All failures of kinit end with exit status 1; only its words tell them apart. They are MIT Kerberos' (1.20), spoken
with LC_ALL=C.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

LONGEST = 300  # characters of a program's own words in a message
_TICKET = re.compile(r"(\S+ \S+)\s{2,}(\S+ \S+)\s{2,}(\S+@\S*)")
_PRINCIPAL = re.compile(r"^Default principal: .*@(\S+)$", re.MULTILINE)
_FORMATS = ("%m/%d/%y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a renewal. `lasting`: it will not pass by itself, so it is tried again rarely."""

    what: str
    advice: str
    lasting: bool = True

    def told(self, words: str = "") -> str:
        """Give it as one line: what happened, in the program's words, and what to do."""
        line = " ".join("".join(c if c.isprintable() else " " for c in words).split())
        quoted = f" ({line[: LONGEST - 3]}...)" if len(line) > LONGEST else f" ({line})" if line else ""
        return f"{self.what}{quoted}: {self.advice}"


AWAY = Trouble("no KDC answers", "is the network or the KDC down? it is tried again by itself", lasting=False)
CLOCK = Trouble("the clocks of this machine and of the KDC differ", "set this machine's clock right (NTP)")
KEYTAB = Trouble("there is no such keytab", "put it where [credentials] renew says, readable by caf's account alone")
RIGHTS = Trouble("the keytab may not be read", "make it caf's account's own, with mode 400")
BROKEN = Trouble("the keytab is no keytab", "put a good one in its place")
PRINCIPAL = Trouble("the keytab has no key of this principal", "compare it with `klist -k KEYTAB`; correct one of them")
UNKNOWN = Trouble("the KDC does not know this principal", "correct it in [credentials] renew")
KEY = Trouble("the keytab's key is not the principal's any more", "its key was changed elsewhere: make a new keytab")
ACCOUNT = Trouble("the account is locked or has expired", "ask whoever keeps the accounts of this realm")
REALM = Trouble("it is not known where the realm's KDC is", "see /etc/krb5.conf and the name server", lasting=False)
RENEWABLE = Trouble("the ticket cannot be renewed", "get new ones from a keytab: kinit -k -t KEYTAB PRINCIPAL")
PASSWORD = Trouble("it asks for a password", "use a keytab: kinit -k -t KEYTAB PRINCIPAL")
OTHER = Trouble("the command failed", "try it by hand, as caf's account", lasting=False)
MISSING = Trouble(
    "the command is not there, or cannot be run", "install it (krb5-user, krb5-workstation), or correct it"
)
HUNG = Trouble("the command did not end in time and was killed", "does the KDC hang? see [credentials] timeout", False)
DEAD = Trouble("the new ticket was over when it came", "see its lifetime in the command, and this machine's clock")
AFTER = Trouble("the ticket is good, but the command after it failed", "try it by hand, as caf's account", False)

_TROUBLES = (
    (r"Cannot contact any KDC|unable to reach any KDC", AWAY),
    (r"Clock skew too great", CLOCK),
    (r"Key table file '.*' not found", KEYTAB),
    (r"Permission denied while getting initial", RIGHTS),
    (r"Unsupported key table format|[Bb]ad format in key ?table|Key table name malformed", BROKEN),
    (r"Keytab contains no suitable keys|Key table entry not found", PRINCIPAL),
    (r"[Cc]lient .*not found in Kerberos database|Malformed representation of principal", UNKNOWN),
    (r"Password incorrect|Preauthentication failed|Decrypt integrity check failed", KEY),
    (r"have been revoked|has expired while getting", ACCOUNT),
    (r"Cannot (?:find|resolve).* KDC|does not specify default realm|not local to", REALM),
    (r"while renewing credentials", RENEWABLE),
    (r"Cannot read password|Password for ", PASSWORD),
)


def trouble(code: int | None, words: str) -> Trouble:
    """Say what is wrong, by exit status (None: killed, its time was over) and words of the command."""
    if code is None:
        return HUNG
    for pattern, found in _TROUBLES:
        if re.search(pattern, words):
            return found
    return MISSING if code in {126, 127} else OTHER


def expiry(listing: str) -> float | None:
    """Read in `klist`'s answer (LC_ALL=C, TZ=UTC) until when the ticket is good, in s since 1970; None if unreadable.

    That is the ticket-granting ticket of the principal's own realm; without it the first one that ends.
    """
    own = _PRINCIPAL.search(listing)
    ends: dict[str, float] = {}
    for found in _TICKET.finditer(listing):
        if (moment := _moment(found[2])) is not None:
            ends[found[3]] = moment
    if own is not None and (granting := ends.get(f"krbtgt/{own[1]}@{own[1]}")) is not None:
        return granting
    return min(ends.values(), default=None)


def _moment(text: str) -> float | None:
    for form in _FORMATS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    return None

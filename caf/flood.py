"""What is logged again and again is counted instead: so a flood of one event hides no other.

Lines are alike if they have the same event, the same level, and the same in every field but those that only say how it
went (HOW). So lines about different runs, jobs, attempts, duties or states are never alike, and a field that nobody has
thought of here makes a difference. Of lines that are alike the first FEW in a WINDOW are written; then only those whose
words are new there (digits apart), up to MOST in all. The rest is counted, and told in one line when the window is
over: how many, since when, and the last of them. Where very many things are told apart at once, the oldest are
forgotten, which writes more, never less.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FEW, MOST, WINDOW = 5, 50, 300.0  # lines; lines; s
TOLD_APART = 4096
HOW = frozenset({"error", "why", "problem", "said", "exception", "failures", "again_in_s", "age_s"})
"""Fields that say how it went, not what it is about."""
HOW_IN_ORDER, NOT_WHAT = tuple(sorted(HOW)), HOW | {"at"}
NOT_OF_THE_LAST = frozenset({"event", "at", "exc_info", "exception"})
_DIGITS = re.compile(r"[0-9]+")


@dataclass(slots=True)
class Alike:
    """Lines that are alike, in one window."""

    began: float
    since: str
    written: int = 0
    counted: int = 0
    words: set[int] = field(default_factory=set)
    last: Mapping[str, Any] = field(default_factory=dict)


class Flood:
    """Tells which lines are written. Times are of a clock that nobody sets (s); a line's own time is its `at`."""

    def __init__(self) -> None:
        self._known: OrderedDict[frozenset[tuple[str, str]], Alike] = OrderedDict()

    def passes(self, line: Mapping[str, Any], now: float) -> bool:
        """Tell whether a line is written; else it is counted."""
        key = frozenset([(name, str(value)) for name, value in line.items() if name not in NOT_WHAT])
        alike = self._known.get(key)
        if alike is None:
            alike = self._known[key] = Alike(now, line["at"])
        words = hash(_DIGITS.sub("0", " ".join([str(line[name]) for name in HOW_IN_ORDER if name in line])))
        if alike.written < FEW or (words not in alike.words and alike.written < MOST):
            alike.written += 1
            alike.words.add(words)
            return True
        alike.counted += 1
        alike.last = dict(line)
        return False

    def over(self, now: float, *, all_of_them: bool = False) -> list[dict[str, Any]]:
        """Give a line for each window that is over and had something counted; its next line begins another."""
        told = []
        while self._known:
            key, alike = next(iter(self._known.items()))
            if now - alike.began < WINDOW and len(self._known) <= TOLD_APART and not all_of_them:
                break
            del self._known[key]
            if alike.counted:
                last = {name: value for name, value in alike.last.items() if name not in NOT_OF_THE_LAST}
                told.append({**last, "of": alike.last["event"], "count": alike.counted, "since": alike.since})
        return told

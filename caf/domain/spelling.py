"""What somebody may have meant who typed a name or a number that there is not."""

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher, get_close_matches

DIGITS = "0123456789"
_MANY = 15  # names; more of them are not worth reading in an error


def near(word: str, known: Iterable[str]) -> list[str]:
    """Give up to three of the known names that the word is like, the most alike first; case does not count."""
    names = {name.lower(): name for name in sorted(known, reverse=True)}
    alike = {name: SequenceMatcher(None, name, word.lower()).ratio() for name in names}
    close = get_close_matches(word.lower(), names, n=max(1, len(names)), cutoff=0.6)
    return [names[found] for found in sorted(close, key=lambda name: (-alike[name], name))[:3]]


def instead(word: str, known: Iterable[str]) -> str:
    """Say what was perhaps meant, or else what there is."""
    names = sorted(set(known))
    if found := near(word, names):
        return f"did you mean {found[0]}?"
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return f"there are {', '.join(names[:_MANY]) or 'none'}{more}"


def slips(number: int) -> Iterator[int]:
    """Give the numbers that one slip of the finger makes of a number: a digit wrong, too few, too many, two swapped."""
    text = str(number)
    for place in range(len(text) + 1):
        head, tail = text[:place], text[place:]
        yield from (int(head + digit + tail) for digit in DIGITS)
        if tail:
            yield from (int(head + digit + tail[1:]) for digit in DIGITS)
        if len(text) > 1 and tail:
            yield int(head + tail[1:])
        if len(tail) > 1:
            yield int(head + tail[1] + tail[0] + tail[2:])

"""How caf words numbers, times and commands, wherever people read them: in a terminal, in a mail."""

from caf.domain.runs import SECOND, iso_time

NO_BREAK = "\xa0"
_STEPS = ((86_400.0 * 365, "y"), (86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def harmless(text: object) -> str:
    """Replace what a terminal would act on, or what would hide text: control, format and unassigned characters."""
    given = str(text)
    return given if given.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in given)


def counted(count: int, noun: str) -> str:
    """Give a number with its noun: 1 job, 2 jobs."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def span(seconds: float) -> str:
    """Give a time span in its largest unit: 3 min, 2 h."""
    for size, unit in _STEPS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"


def ago(moment: float | None, now: float) -> str:
    """Give a moment (s since 1970) as people say it."""
    if moment is None:
        return "never"
    if abs(now - moment) < 1:
        return "now"
    return f"{span(now - moment)} ago" if moment < now else f"in {span(moment - now)}"


def ended(result: str, reason: str) -> str:
    """Give how a job ended and why; a reason that begins with the result, as `exit code 1` does, says both."""
    return reason if reason.startswith(f"{result.replace('_', ' ')} ") else f"{result}: {reason}"


def iso(moment: float | None) -> str | None:
    """Give a moment of caf's own doings (s since 1970) for JSON."""
    return None if moment is None else iso_time(int(moment * SECOND))


def filled(text: str, first: str, rest: str, room: int) -> str:
    """Break a long line at blanks; no word is broken, for somebody may want to copy it."""
    import textwrap  # most commands do without

    lines = textwrap.fill(
        text, room, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return lines.replace(NO_BREAK, " ")


def unbroken(command: str) -> str:
    """Quote a command so that `wrapped` leaves it on one line."""
    return f"`{command.replace(' ', NO_BREAK)}`"

"""What stands in the mails, as plain text; every line that asks for something ends with the command to type.

Whatever comes from outside (reasons, names of files, errors) is made one harmless line and cut before it gets here
into a line of its own; numbers and fixed words alone make the subject.
"""

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from caf.attention import Need
from caf.store.news import Found
from caf.wording import counted, ended, filled, harmless, span, unbroken

WIDTH = 76
LONGEST = 300  # characters of a reason
FEW = 20  # of many, as many are listed


@dataclass(frozen=True, slots=True)
class Origin:
    """Which caf writes: its machine, its listeners.toml."""

    host: str
    config: Path

    def subject(self, text: str) -> str:
        """Give a subject line that tells one caf's mail from another's."""
        return f"[caf {harmless(self.host)}] {text}"

    def foot(self) -> str:
        """Say where the commands are typed; two dashes and a blank begin a mail's signature."""
        where = f"caf on {harmless(self.host)}, {harmless(self.config)}"
        how = f"Type the commands there, in {harmless(self.config.parent)} or with CAF_CONFIG set to that file."
        return f"-- \n{_line(where, '')}\n{_line(how, '')}\n"


@dataclass(frozen=True, slots=True)
class Happened:
    """What one mail tells of: jobs that failed, wait, are done; accepted runs; doubts; what needs a person."""

    failed: Found
    waiting: Found
    accepted: Found
    done: int
    reasons: Mapping[str, Sequence[tuple[str, int, str]]]  # of very many: reason, how many, "RUN JOB"
    doubts: Sequence[tuple[str, str]] = ()  # "RUN JOB", since when and why
    needs: Sequence[Need] = ()
    fresh: frozenset[str] = frozenset()  # kinds of what did not need a person before


def digest(happened: Happened, origin: Origin, since: float) -> tuple[str, str]:
    """Give subject and text of a digest of what is new."""
    parts = [f"New since {_moment(since)}:"]
    parts += _failed(happened) + _waiting(happened) + _doubts(happened.doubts) + _accepted(happened.accepted)
    if happened.done:
        parts.append(f"{counted(happened.done, 'job')} done and good")
    parts += _needs(happened.needs)
    return origin.subject(_subject(happened)), "\n\n".join([*parts, origin.foot()])


def summary(
    happened: Happened, origin: Origin, since: float, standing: dict[str, dict[str, int]], duties: Iterable[str]
) -> tuple[str, str]:
    """Give subject and text of the daily summary; `standing` counts runs and jobs by where they are now."""
    asks = sum(need.count for need in happened.needs)
    counts = [
        f"runs accepted:  {happened.accepted.count}",
        f"jobs done:      {happened.done}",
        f"jobs failed:    {happened.failed.count}",
        f"jobs that wait: {happened.waiting.count}",
    ]
    parts = [f"Since {_moment(since)}, as far as it stands:\n" + "\n".join(f"  {line}" for line in counts)]
    now = [f"  {what}: {_counts(standing[what])}" for what in ("runs", "jobs")]
    parts.append("In all:\n" + "\n".join(now))
    parts.append("Duties:\n" + "\n".join(_line(line, "  ", "    ") for line in duties))
    parts += _needs(happened.needs) or ["Nothing needs a person."]
    said = f"{counted(asks, 'thing')} to be looked at" if asks else "all is well"
    subject = f"daily summary: {happened.done} done, {happened.failed.count} failed, {said}"
    return origin.subject(subject), "\n\n".join([*parts, origin.foot()])


def short(text: object) -> str:
    """Make whatever comes from outside one harmless line that is not too long."""
    line = harmless(" ".join(str(text).split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def _subject(happened: Happened) -> str:
    waits = happened.waiting.count
    parts = [f"{counted(happened.failed.count, 'job')} failed"] if happened.failed.count else []
    parts += [f"{counted(waits, 'job')} wait{'s' if waits == 1 else ''}"] if waits else []
    parts += [f"{counted(happened.accepted.count, 'run')} accepted"] if happened.accepted.count else []
    parts += [f"attention: {', '.join(sorted(happened.fresh))}"] if happened.fresh else []
    return "; ".join(parts) or "news"


def _failed(happened: Happened) -> list[str]:
    lines = [
        f"{row['run']} {row['job']}: {ended(row['result'], short(row['reason']))}: {_command('why', row)}"
        for row in happened.failed.rows
    ]
    title = f"{counted(happened.failed.count, 'job')} failed"
    return _section(title, happened.failed, lines, happened.reasons.get("FAILED", ()), "caf jobs list --state FAILED")


def _waiting(happened: Happened) -> list[str]:
    lines = [
        f"{row['run']} {row['job']}: {short(row['reason'])}: "
        f"{_command('start', row, ' --reason TEXT')} or {_command('reject', row, ' --reason TEXT')}"
        for row in happened.waiting.rows
    ]
    count = happened.waiting.count
    title = f"{counted(count, 'job')} wait{'s' if count == 1 else ''} for a person's validation"
    return _section(
        title, happened.waiting, lines, happened.reasons.get("WAITING", ()), "caf jobs list --state WAITING"
    )


def _command(word: str, row: sqlite3.Row, more: str = "") -> str:
    return unbroken(f"caf jobs {word} {row['run']} {row['job']}{more}")


def _accepted(found: Found) -> list[str]:
    lines = [f"{row['run']} by {row['listener']}: {', '.join(row['jobs'].split(','))}" for row in found.rows]
    return _section(
        f"{counted(found.count, 'run')} accepted", found, lines, (), "caf runs list --status ACCEPTED --since 1d"
    )


def _section(
    title: str, found: Found, lines: list[str], reasons: Sequence[tuple[str, int, str]], command: str
) -> list[str]:
    """List what there is; of more than a few, count it by reason, and say how to list it."""
    if not found.count:
        return []
    if found.count > FEW:
        lines = [
            f"{jobs} of them: {short(reason)}: {unbroken(f'caf jobs why {one}')}" for reason, jobs, one in reasons
        ] or [*lines[-3:], f"and {found.count - 3} more"]
        title = f"{title}: {unbroken(command)}"
    return ["\n".join([_line(title, ""), *(_line(line) for line in lines)])]


def _doubts(doubts: Sequence[tuple[str, str]]) -> list[str]:
    if not doubts:
        return []
    title = f"{counted(len(doubts), 'job')} of which nothing is known"
    lines = [f"{which}: {short(why)}: {unbroken(f'caf jobs why {which}')}" for which, why in doubts[:FEW]]
    lines += [f"and {len(doubts) - FEW} more"] if len(doubts) > FEW else []
    return ["\n".join([title, *(_line(line) for line in lines)])]


def _needs(needs: Sequence[Need]) -> list[str]:
    if not needs:
        return []
    lines = [_line(f"{need.text}: {unbroken(need.command)}") for need in needs]
    return ["\n".join(["Needs a person now, as `caf status` says:", *lines])]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none yet"


def _line(text: str, first: str = "- ", rest: str = "  ") -> str:
    return filled(text, first, rest if first else "", WIDTH)


def _moment(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))


def age(moment: float | None, now: float) -> str:
    """Say how long ago something was."""
    return "never" if moment is None else f"{span(max(now - moment, 0.0))} ago"

"""The status as lines for people: `caf status` shows all of them, `caf watch` those that its screen has room for."""

from dataclasses import dataclass
from typing import Any

from caf.attention import Need
from caf.cli.colours import BAD, GOOD, LOOK, OVER, STATES, coloured
from caf.cli.standing import Standing
from caf.cli.text import NO_BREAK, Table, Tinted, ago, broken, counted, harmless, unbroken, wrapped

ALL = "`caf status`"
_INDENT = " " * 12


@dataclass(frozen=True, slots=True)
class Layout:
    """The parts of a status: its head, the duties' table with those rows that tell something, each need's lines."""

    head: list[str]
    duties: list[str]
    telling: list[str]
    needs: list[list[str]]
    last: list[str]

    def lines(self) -> list[str]:
        """Give all of it."""
        return [*self.head, *self.duties, *self.last, *(line for need in self.needs for line in need)]

    def broken(self, room: int) -> "Layout":
        """Break what is longer than a line, as a terminal would."""

        def pieces(lines: list[str]) -> list[str]:
            return [piece for line in lines for piece in broken(line, room)]

        needs = [pieces(need) for need in self.needs]
        return Layout(pieces(self.head), pieces(self.duties), pieces(self.telling), needs, pieces(self.last))

    def fitted(self, rows: int) -> list[str]:
        """Give what fits into so many rows, the least important left out, and say what is."""
        lines = self.lines()
        if len(lines) <= rows:
            return lines
        above = [*self.head, *self.telling, *self.last]
        kept: list[str] = []
        shown = 0
        for need in self.needs:
            rest = shown + 1 < len(self.needs)  # then a line is needed to say so
            if len(above) + len(kept) + len(need) + rest > rows:
                break
            kept += need
            shown += 1
        left = len(self.needs) - shown
        if shown or not self.needs:
            lines = [*above, *kept, *([f"... {counted(left, 'more thing')}: {ALL}"] if left else [])]
        if len(lines) <= rows:
            return lines
        return [*lines[: rows - 1], f"... {counted(len(lines) - rows + 1, 'more line')}: {ALL}"][:rows]


def laid_out(found: Standing, now: float) -> Layout:
    """Lay out what was gathered, in lines as wide as the terminal."""
    facts = found.facts
    if not facts["database"]:
        text = f"There is no database yet in {facts['state']}: it is made by the first `caf run`"
        return Layout([harmless(text)], [], [], [], [])
    duties, telling = _duties(found, now)
    last = ["", "Needs a person:" if found.needed else coloured("Nothing needs a person.", GOOD)]
    untold = found.needed and all(need.what != "supervisor" for need in found.needed)
    if facts["supervisor"] is None and untold:  # the first line may have left the screen by now
        last[1] = f"{coloured('The supervisor does not run.', BAD)} {last[1]}"
    return Layout(_head(found, now), duties, telling, [_need(need) for need in found.needed], last)


def _head(found: Standing, now: float) -> list[str]:
    facts = found.facts
    who = facts["supervisor"]
    lines = [f"supervisor: {harmless(who)}" if who else f"supervisor: {coloured('does not run', BAD)}"]
    if facts["disk"] is not None:
        free, total = facts["disk"]["free"], facts["disk"]["total"]
        place = f"{free / 1e9:.1f} GB of {total / 1e9:.1f} GB free in {facts['state']}"
        lines += _named("disk", harmless(place))
    if found.full is not None:
        lines += _named("account", found.full)
    if found.backups:
        lines += _named("backup", _backed_up(found.backups, now))
    asking = {need.what for need in found.needed}
    for what in ("runs", "jobs"):
        lines += _counts(what, facts[what], asking)
    for line in found.paused:
        lines += [coloured(one, LOOK) for one in _named("PAUSED", line)]
    return lines


def _named(name: str, text: str) -> list[str]:
    return wrapped(text, first=f"{name + ':':<12}", rest=_INDENT).split("\n")


def _counts(what: str, counts: dict[str, int], asking: set[str]) -> list[str]:
    """Say how many there are of each status or state; failures that were all seen are over."""
    lines = _named(what, ", ".join(f"{count}{NO_BREAK}{name}" for name, count in counts.items()) or "none yet")
    for name, count in counts.items():
        colour = OVER if name == "FAILED" and "failed" not in asking else STATES.get(name)
        text = f" {count} {name}"
        lines = [line.replace(text, f" {coloured(text[1:], colour)}", 1) for line in lines]
    return lines


def _backed_up(known: dict[str, Any], now: float) -> str:
    """Say how old the newest backup is, and its copy."""
    made, second = known["made"], known["second"]
    text = "none yet" if made is None else f"{ago(made['at'], now)}, {made['bytes'] / 1e6:.1f} MB: {made['path']}"
    if second is not None:
        copied = second["copied"]
        which = "none yet" if copied is None else f"that of {ago(copied['at'], now)}"
        text += f"; in {second['folder']} {which}"
    return harmless(text)


def _duties(found: Standing, now: float) -> tuple[list[str], list[str]]:
    """Give the table, and what is left of it where there is no room for those that do well."""
    if not found.duties:
        return [], []
    table = Table(("DUTY", "SUCCEEDED", "FAILED", "NEXT ROUND", "LAST CHANGE"), soft=("LAST CHANGE",))
    runs = found.facts["supervisor"] is not None
    heading, *rows = table.lines([_duty(row, now, runs=runs) for row in found.duties])
    telling = [line for line, row in zip(rows, found.duties, strict=True) if _tells(row, runs=runs)]
    quiet = len(rows) - len(telling)
    rest = [f"... {quiet} {'duty' if quiet == 1 else 'duties'} with nothing to tell: {ALL}"] if quiet else []
    return ["", heading, *rows], ["", *([heading] if telling else []), *telling, *rest]


def _tells(row: dict[str, Any], *, runs: bool) -> bool:
    return row["error"] is not None or (runs and row["progress"] is not None)


def _duty(row: dict[str, Any], now: float, *, runs: bool) -> tuple[object, ...]:
    ended = ago(row["failed"], now) if row["failed"] is not None else "-"
    due = ago(max(row["next"], now), now) if runs and row["next"] is not None else "-"  # nobody else will do it
    # What is left of a round whose process died says nothing of one under way.
    going = f"under way: {row['progress']}" if runs and row["progress"] is not None else None
    colour = BAD if row["error"] is not None else None
    told = Tinted(going or row["error"] or row["summary"], None if going else colour)
    return Tinted(row["name"], colour), ago(row["succeeded"], now), ended, due, told


def _need(need: Need) -> list[str]:
    """Give its lines; what is critical is red as a whole."""
    lines = wrapped(f"- {need.text}: {unbroken(need.command)}", first="", rest="  ").split("\n")
    if need.critical:
        return [coloured(line, BAD) for line in lines]
    return [coloured("-", LOOK) + lines[0][1:], *lines[1:]]

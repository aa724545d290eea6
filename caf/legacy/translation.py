"""From the old files to a listeners.toml that caf can read, with everything told that a person must look at."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from caf.config import check_exclusive, parse
from caf.domain.errors import ConfigError
from caf.legacy import jobs, listeners, settings
from caf.legacy.modules import Module, read
from caf.legacy.tables import Named, jobs_in, listeners_in, named_anywhere
from caf.legacy.templates import Templates
from caf.legacy.toml import Section, comment
from caf.legacy.values import PLACEHOLDER, Problem, whole

_MOST = 200  # keys taken out again because caf would not have them
_FAULT = re.compile(r"listeners\.toml:(\d+): (.*)")

_BASE = """[caf]
state = "state"                 # database, lock and backups: must be a local disk, not AFS, NFS or EOS
work = "work"                   # working areas: must be seen by the batch nodes too
templates = "templates"

[source]                        # the old system asked COOL itself; caf reads SQLite replicas of it
kind = "cool"
replicas = ["cool/*.db"]
database = "CONDBR2"            # from run 236107 on; "COMP200" before

[batch]                         # LSF is gone from where the old system ran; caf check says which kinds are served
kind = "local"
"""


@dataclass(frozen=True, slots=True)
class Translated:
    """What is to be written, and what is to be said about it.

    `overlaps` are pairs of listeners that take the same run, each with a witness; `warnings` those that would if one
    text held two words.
    """

    text: str
    templates: dict[str, bytes]
    listeners: int
    jobs: int
    problems: list[Problem]
    overlaps: list[str]
    warnings: list[str]


def translate(source: Path, job_file: Path | None, folder: Path | None, launcher: bytes) -> Translated:
    """Translate the old configuration without running any of it. ConfigError where there is none to be found.

    `launcher` is the template for jobs that name none of their own.
    """
    modules = [read(path) for path in (source, job_file) if path is not None]
    problems = [problem for module in modules for problem in module.problems]
    taken = [_listener(named, module) for module in modules for named in listeners_in(module)]
    if not taken:
        said = "".join(f"\n{problem}" for problem in problems[:20])
        raise ConfigError(f"{source}: no listeners were found in it: is it the RunsProvider's configuration?{said}")
    _once(taken, problems)
    names = {one.old_name: one.name for one in reversed(taken)}
    made = _jobs(modules, names, Templates.below(folder, launcher), problems)
    blocks = [_block([one.section, one.match]) for one in taken] + [_block([job.section]) for job, _ in made]
    for one in taken:
        problems += one.problems
    templates: dict[str, bytes] = {}
    for job, found in made:
        problems += job.problems
        templates = found.taken
    body = _mended([[*_BASE.strip().split("\n"), *_slots(modules)], *blocks], problems)
    problems = _in_order(problems + _placeholders(body))
    text = "\n".join([*_header([module.file for module in modules], problems), "", *body, ""])
    configuration = parse(text, Path("listeners.toml"))
    overlaps, warnings = check_exclusive(configuration)
    count = len(configuration.listeners), len(configuration.jobs)
    return Translated(text, templates, *count, problems, overlaps, warnings)


def _listener(named: Named, module: Module) -> listeners.Translation:
    found = settings.translate(named) if settings.is_scan(named) else listeners.translate(named)
    if module.torn and found.complete:
        found.refuse(None, "lines of its file could not be read, and may have been its conditions: look")
        found.whole()
    return found


def _jobs(
    modules: Sequence[Module], names: dict[str, str], templates: Templates, problems: list[Problem]
) -> list[tuple[jobs.Translation, Templates]]:
    made = []
    for named in [named for module in modules for named in jobs_in(module)]:
        own = templates.own_file(named)
        if own is not None:
            problems += own.problems
        job = jobs.translate(named, own.names if own is not None else None, names)
        tags = next((set(entry.value) for entry in job.section.entries if entry.key == "tags"), set())
        templates.take(job, own, frozenset(tags))
        made.append((job, templates))
    problems += templates.problems
    _once([job for job, _ in made], problems)
    return made


def _slots(modules: Sequence[Module]) -> list[str]:
    """Give the JobOrganizer's limits: jobs of the account, and of the group."""
    lines = []
    for key, old, said in (("slots", "joblimit", "jobs at once"), ("group_slots", "ncpu", "all of the group's")):
        found = [value for module in modules for value in named_anywhere(module.names, old)]
        numbers = [number for value in found if (number := whole(value)) is not None and number > 0]
        lines += [f"{key} = {numbers[0]}   # {old}: {said}"] if numbers else []
    return lines


def _once(taken: Sequence[listeners.Translation | jobs.Translation], problems: list[Problem]) -> None:
    """Give the second of two with one name another one: the old system found that only by its consequences."""
    used: set[str] = set()
    for one in taken:
        name, number = one.name, 2
        while one.name in used:
            one.name = f"{name[:37]}_{number}"
            number += 1
        used.add(one.name)
        if one.name != name:
            said = f"{name} is there twice: this one is {one.name} now"
            problems.append(Problem(one.table.file, one.table.line, said))
            for section in (one.section, getattr(one, "match", one.section)):
                section.name = section.name.replace(f".{name}", f".{one.name}", 1)


def _block(sections: Sequence[Section]) -> list[str]:
    lines: list[str] = []
    for section in sections:
        if section.entries or not section.name.endswith(".match"):
            lines += ([""] if lines else []) + section.lines()
    return lines


def _mended(blocks: list[list[str]], problems: list[Problem]) -> list[str]:
    """Make one text of the tables; what caf would not have in it becomes a comment, and is told."""
    lines: list[str] = []
    for block in blocks:
        lines += ([""] if lines else []) + block
    for _ in range(_MOST):
        try:
            parse("\n".join(lines) + "\n", Path("listeners.toml"))
        except ConfigError as error:
            fault = _FAULT.match(str(error).split("\n")[0])
            if fault is None or not _left_out(lines, int(fault[1]) - 1):
                raise
            problems.append(Problem("listeners.toml", 0, f"{fault[2]}; it is left out"))
            continue
        return lines
    raise ConfigError("the old configuration holds too much that caf cannot have: translate it by hand")


def _left_out(lines: list[str], place: int) -> bool:
    """Make a comment of a key, or of a whole table where the fault is in its head; tell whether there was one."""
    line = lines[place]
    if line.startswith("#") or not line.strip():
        return False
    if not line.startswith("["):
        lines[place] = f"# {line}"
        _disable(lines, place)
        return True
    name = line.strip("[]")
    for number in range(place, len(lines)):
        if lines[number].startswith("[") and not lines[number].startswith((f"[{name}]", f"[{name}.")):
            break
        if lines[number] and not lines[number].startswith("#"):
            lines[number] = f"# {lines[number]}"
    return True


def _disable(lines: list[str], place: int) -> None:
    """Have a listener that lost a key take nothing: it may have been a condition."""
    head = next((number for number in range(place, -1, -1) if lines[number].startswith("[")), 0)
    while lines[head].startswith("[listeners.") and lines[head].endswith(".match]"):
        head = next(number for number in range(head - 1, -1, -1) if lines[number].startswith("["))
    if lines[head].startswith("[listeners.") and not lines[head + 1].startswith("enabled = false"):
        lines.insert(head + 1, "enabled = false   # a key is left out: see the top of the file")


def _placeholders(lines: list[str]) -> list[Problem]:
    names = sorted({name for line in lines for name in re.findall(rf"{PLACEHOLDER}[A-Z0-9_]+", line)})
    said = "stands for what the old machine's environment had"
    return [Problem("listeners.toml", 0, f"{name} {said}: write what it was in its place") for name in names]


def _in_order(problems: list[Problem]) -> list[Problem]:
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line))


def _header(files: list[str], problems: list[Problem]) -> list[str]:
    lines = comment(
        [
            f"listeners.toml, translated from {' and '.join(files)} by `caf init --from`.",
            "Paths are relative to this file's folder. docs/moving.md tells what became of what.",
        ]
    )
    if problems:
        lines += ["#", "# Not translated, or to be looked at:", *comment(f"- {problem}" for problem in problems)]
    return lines

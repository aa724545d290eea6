"""What a key of listeners.toml may hold: the checks that several tables share, with messages for operators.

Each check raises ValueError with the end of a sentence that begins with the key's name. What depends on the rest of
the file comes in as pydantic's context: see `Surroundings`.
"""

import difflib
import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, StrictBool, StrictInt, StrictStr, ValidationInfo

from caf.config.units import read_duration, read_size
from caf.domain.runs import Kind


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the check of one key needs to know of the whole: the file's folder, all listeners, all attributes."""

    folder: Path
    listeners: frozenset[str]
    kinds: Mapping[str, Kind]


class Faults(ValueError):
    """Several faults within one value, each with the way to it from there."""

    def __init__(self, faults: list[tuple[tuple[str | int, ...], str]]) -> None:
        super().__init__("; ".join(message for _, message in faults))
        self.faults = faults


def surroundings(info: ValidationInfo) -> Surroundings:
    """Give the context that `load` has put there."""
    assert isinstance(info.context, Surroundings)
    return info.context


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}", re.ASCII)
_TAG = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)
_BRACES = re.compile(r"\{([^{}]*)\}")
_RUN_FIELD = re.compile(r"run(?::0?[0-9]{0,2}d?)?", re.ASCII)
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://")
_XROOTD = re.compile(r"x?roots?://[^/?#]+//[^/]")


def _line(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    if _CONTROL.search(text):
        raise ValueError("must be one line without control characters")
    return text


def _argument(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


def _command(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words or not words[0].strip():
        raise ValueError('must not be empty: write the program and its arguments, such as ["config/launcher.sh"]')
    return words


def _of_this_machine(words: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    program, *arguments = words or ("",)
    if "/" in program and not program.startswith("/"):
        return (f"{surroundings(info).folder}/{program}", *arguments)
    return words


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("is not a usable name: a letter, then at most 39 letters, digits or _")
    return text


def _tag(text: str) -> str:
    if not _TAG.fullmatch(text):
        raise ValueError("is not a usable tag: capital letters, digits and _, a letter first")
    return text


def _known_listener(text: str, info: ValidationInfo) -> str:
    if text not in surroundings(info).listeners:
        raise ValueError(f"there is no listener '{text}'{did_you_mean(text, surroundings(info).listeners)}")
    return text


def did_you_mean(word: str, known: frozenset[str] | list[str]) -> str:
    """Give ": did you mean 'x'?" where a known word is near, else the known words if they are few."""
    lowered = {name.lower(): name for name in sorted(known)}
    near = difflib.get_close_matches(word.lower(), list(lowered), n=1)
    if near:
        return f": did you mean '{lowered[near[0]]}'?"
    return f"; known: {', '.join(sorted(known))}" if known else ""


def _inside(text: str) -> str:
    """A file in the attempt's area: it can name nothing outside."""
    _line(text)
    if text.startswith("/"):
        raise ValueError(f"must be a relative path inside the working area, not '{text}'")
    if ".." in text.split("/"):
        raise ValueError("must not contain '..': it stays inside the working area")
    return text


def _braces(text: str, *, job: bool) -> str:
    allowed = "{run}, {run:08d} or {job}" if job else "{run} or {run:08d}"
    for field in _BRACES.findall(text):
        if not (_RUN_FIELD.fullmatch(field) or (job and field == "job")):
            raise ValueError(f"has {{{field}}}: only {allowed} may stand in braces")
    if re.search(r"[{}]", _BRACES.sub("", text)):
        raise ValueError(f"has a brace without its partner: only {allowed} may stand in braces")
    return text


def _run_braces(text: str) -> str:
    return _braces(text, job=False)


def _job_braces(text: str) -> str:
    return _braces(text, job=True)


def _place(given: object, info: ValidationInfo) -> Path:
    if isinstance(given, str):
        _line(given)
        if given.startswith("~"):
            raise ValueError("must not begin with ~: write the whole path")
    elif not isinstance(given, Path):
        raise ValueError("must be a path in quotes")
    return surroundings(info).folder / given


def _absolute_glob(text: str, info: ValidationInfo) -> str:
    """Relative to the file, whose own folder is taken literally whatever its name contains."""
    if _is_whole(text):
        return text
    return f"{glob.escape(str(surroundings(info).folder))}/{text}"


def _is_whole(text: str) -> bool:
    """Tell whether a place is named from its root, on a file system or with XRootD; ValueError if that cannot be."""
    if text.startswith("~"):
        raise ValueError("must not begin with ~: write the whole path")
    if _REMOTE.match(text) and not _XROOTD.match(text):
        raise ValueError("is an address of no kind that caf understands: write root://host//path, or a path")
    return text.startswith("/") or _REMOTE.match(text) is not None


def _absolute(text: str, info: ValidationInfo) -> str:
    if _is_whole(text):
        return text
    return f"{surroundings(info).folder}/{text}"


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("must be more than nothing")
    return seconds


def _not_empty(items: tuple[str, ...]) -> tuple[str, ...]:
    if not items:
        raise ValueError("must not be empty")
    return items


def _once(items: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({item for item in items if items.count(item) > 1})
    if twice:
        raise ValueError(f"names '{twice[0]}' twice")
    return items


Line = Annotated[StrictStr, AfterValidator(_line)]
Argument = Annotated[StrictStr, AfterValidator(_argument)]
Name = Annotated[StrictStr, AfterValidator(_name)]
Tag = Annotated[StrictStr, AfterValidator(_tag)]
KnownListener = Annotated[StrictStr, AfterValidator(_known_listener)]
Inside = Annotated[StrictStr, AfterValidator(_inside)]
InsidePattern = Annotated[StrictStr, AfterValidator(_inside), AfterValidator(_job_braces)]
Archive = Annotated[StrictStr, AfterValidator(_line), AfterValidator(_job_braces), AfterValidator(_absolute)]
Glob = Annotated[StrictStr, AfterValidator(_line), AfterValidator(_absolute_glob)]
RunGlob = Annotated[StrictStr, AfterValidator(_line), AfterValidator(_run_braces), AfterValidator(_absolute_glob)]
Place = Annotated[Path, BeforeValidator(_place)]
Duration = Annotated[float, BeforeValidator(read_duration)]
Interval = Annotated[float, BeforeValidator(read_duration), AfterValidator(_positive)]
Size = Annotated[int, BeforeValidator(read_size)]
Command = Annotated[tuple[Argument, ...], AfterValidator(_command)]
# Run on the supervisor's machine, from no folder in particular: a program's path is relative to the file as all are.
HostCommand = Annotated[Command, AfterValidator(_of_this_machine)]
HostCommandIfAny = Annotated[tuple[Argument, ...], AfterValidator(_of_this_machine)]
JobArgument = Annotated[Argument, AfterValidator(_job_braces)]
JobCommand = Annotated[tuple[JobArgument, ...], AfterValidator(_command)]
NotEmpty = AfterValidator(_not_empty)
Once = AfterValidator(_once)
Flag = StrictBool
Whole = StrictInt

"""Templates of launchers and job options: the tags `#NAME#` that jobs have used since 2009, replaced strictly.

What a run's attributes and the names of raw files say comes from outside, and a template becomes a program. So a value
from outside stands as it is only if every character of it is harmless in sh and in Python; `#SH:NAME#` and `#PY:NAME#`
give any value as one quoted word of either, where a word may stand.
"""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from caf.domain.errors import PreparationError
from caf.domain.runs import ATTRIBUTES, to_json
from caf.storage.quoting import python_words, shell_words

TAG = re.compile(r"#(?:(?P<form>SH|PY):)?(?P<name>[A-Z][A-Z0-9_]*)#")
"""All else that holds `#`, such as comments, is text and is left alone."""

HARMLESS = re.compile(r"[A-Za-z0-9_.,:=+@/-]*", re.ASCII)
"""What no shell and no Python acts on, within quotes or without."""

_SIGNS = {"SH": re.compile(r"#!.*\b(?:ba|da|k|z)?sh\b"), "PY": re.compile(r"#!.*\b(?:python|athena)")}
_FORMS = {"SH": shlex.quote, "PY": ascii}
_OF_RAW_FILES = {"RAW_FILES_SH": "SH", "RAW_FILES_PY": "PY", "RAW_DATA_SETS": "PY"}

WITHOUT_MEANING = ("INPUT_STAGE_SVC_CLASS", "OUTPUT_STAGE_SVC_CLASS")
"""Pools of CASTOR, which is gone: empty unless the job's own tags say otherwise."""


def render(text: str, tags: Mapping[str, str], name: str, *, raw: Sequence[str] = (), own: Collection[str] = ()) -> str:
    """Replace every tag of a template once; what a value holds is never looked at again.

    `raw` are the raw files, `own` the names of the job's own tags, whose values are trusted. PreparationError with one
    line "file:line: ..." for each tag that there is no value for, or whose value must not stand where it does.
    """
    matches = list(TAG.finditer(text))
    script = _Script.of(name, text, matches)
    wrong = []
    for match in matches:
        why: str | None
        if match["name"] not in tags:
            why = f"unknown tag {match[0]}{_did_you_mean(match['name'], tags)}"
        else:
            why = script.unfit(match, () if match["name"] in own else _from_outside(match["name"], tags, raw))
        if why:
            wrong.append(f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {why}")
    if wrong:
        raise PreparationError("\n".join(wrong))
    return TAG.sub(lambda match: _FORMS.get(match["form"], str)(tags[match["name"]]), text)


def names_in(text: str) -> set[str]:
    """Give the names of a template's tags."""
    return {match["name"] for match in TAG.finditer(text)}


def _from_outside(name: str, tags: Mapping[str, str], raw: Sequence[str]) -> Sequence[str]:
    """Give the texts in a tag's value that come from outside: what the run's attributes and its files' names say."""
    if name in _OF_RAW_FILES:
        return raw
    return (tags[name],) if name.startswith("RUN_") or name == "CASTOR_DATA_DIR" else ()


@dataclass(slots=True)
class _Script:
    """A template as its interpreter will see it: `language` is SH, PY, or empty where it is neither."""

    language: str
    text: str
    spans: list[tuple[int, int]]
    _words: dict[str, set[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, text: str, matches: Sequence[re.Match[str]]) -> "_Script":
        first = text[: text.find("\n") + 1 or len(text)]
        language = next((known for known, sign in _SIGNS.items() if sign.match(first)), "")
        language = language or {".sh": "SH", ".py": "PY"}.get(PurePosixPath(name).suffix, "")
        return cls(language, text, [match.span() for match in matches])

    def unfit(self, match: re.Match[str], texts: Sequence[str]) -> str | None:
        """Say why a value must not stand where its tag does; None if it may. `texts` are those from outside."""
        tag, name = match[0], match["name"]
        bad = next((text for text in texts if not HARMLESS.fullmatch(text)), None)
        form = match["form"] or _OF_RAW_FILES.get(name)
        if form is None and bad is not None:
            way = " or ".join(f"#{one}:{name}#" for one in _FORMS if self.language in ("", one))
            return f"{tag} is {bad!r}, which a program may act on: write {way}, without quotes around it"
        if form is None or (bad is None and not match["form"]):
            return None
        if self.language not in ("", form):
            fit = {"SH": "shell script", "PY": "Python"}[form]
            return f"{tag}{f' holds {bad!r}: it' if bad else ''} may stand in a {fit} only"
        if not self._stands_alone(match.start(), form):
            held = f", which {bad!r} needs" if bad else ""
            return f"{tag} brings its own quotes{held}: it must be a word of its own, not within quotes or a text"
        return None

    def _stands_alone(self, place: int, language: str) -> bool:
        if language not in self._words:
            self._words[language] = {"SH": shell_words, "PY": python_words}[language](self.text, self.spans)
        return place in self._words[language]


def _did_you_mean(tag: str, tags: Mapping[str, str]) -> str:
    from difflib import get_close_matches  # only needed when something is wrong

    close = get_close_matches(tag, tags, n=1)
    return f" (did you mean #{close[0]}#?)" if close else ""


def tags_of(
    *,
    work: str,
    area: str,
    templates: str,
    files: Sequence[str],
    job: str,
    attempt: int,
    listener: str | None,
    attributes: Mapping[str, Any],
    raw: Sequence[str],
    log: str | None,
    own: Mapping[str, str],
) -> dict[str, str]:
    """Give all tags of an attempt (facts/legacy.md) and their values; the job's own tags win.

    `files` are the names of the job's templates, `attributes` those of the run (as shown or as stored), `raw` its raw
    files in order. There is no tag for the token: it belongs to the environment of the payload alone.
    """
    tags = {
        "JOB_CONFIGURATION": job,
        "ATTEMPT": str(attempt),
        "LISTENER": listener or "",
        "JOB_LOG_NAME": PurePosixPath(log).name if log else "",
        **dict.fromkeys(WITHOUT_MEANING, ""),
        **_folders(work, area, templates),
        **_options(area, files, job),
        **_run(attributes),
        **_raw_files(raw),
        **own,
    }
    if "ATLAS_RELEASE" in tags:
        tags.setdefault("ATLAS_RELEASE_NOCACHE", ".".join(tags["ATLAS_RELEASE"].split(".")[:3]))
    return tags


def _folders(work: str, area: str, templates: str) -> dict[str, str]:
    kinds = ("log", "root", "pool", "config", "post")
    return {
        "JOBS_WORKING_DIR": work,
        "JOB_WORKING_DIR": area,
        **{f"JOB_{kind.upper()}_DIR": f"{area}/{kind}" for kind in kinds},
        # Job options, scripts and back ends had a folder each; all of them are templates now.
        "DAEMON_JO_TEMPLATE_DIR": templates,
        "DAEMON_SCRIPTS_DIR": templates,
        "DAEMON_BACKENDS_DIR": templates,
    }


def _options(area: str, files: Sequence[str], job: str) -> dict[str, str]:
    """Job options are the first template in Python; the job's configuration is the one with its name, else the same."""
    scripts = [name for name in files if name.endswith(".py")]
    options = scripts[0] if scripts else ""
    configuration = next((name for name in scripts if PurePosixPath(name).stem == job), options)
    return {
        "JOB_OPTIONS_NAME": PurePosixPath(options).name,
        "JOB_CONFIGURATION_LOCAL": f"{area}/config/{configuration}" if configuration else "",
    }


def _run(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Every attribute as RUN_..., as it is shown in JSON: times in ISO 8601, true and false; unknown ones are empty."""
    tags = {}
    for attribute in (*ATTRIBUTES, *attributes):
        tags[_tag_of(attribute)] = _text(to_json(attribute, attributes.get(attribute)))
    run = int(attributes["run"])
    return {
        **tags,
        "RUN_NUMBER": str(run),
        "RUN_NUMBER_PADDED": f"{run:07d}",
        "RUN_NUMBER_PADDED_8": f"{run:08d}",
    }


@cache
def _tag_of(attribute: str) -> str:
    name = attribute.upper()
    return name if name == "RUN" or name.startswith("RUN_") else f"RUN_{name}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _raw_files(raw: Sequence[str]) -> dict[str, str]:
    """RAW_DATA_SETS is a whole Python statement, the other two are words for sh and a list for Python."""
    lines = "".join(f"{path!r},\n" for path in raw)
    return {
        "RAW_DATA_SETS": f"athenaCommonFlags.BSRDOInput = [\n{lines}]",
        "RAW_FILES_SH": shlex.join(raw),
        "RAW_FILES_PY": repr(list(raw)),
        "CASTOR_DATA_DIR": str(PurePosixPath(raw[0]).parent) if raw else "",
    }

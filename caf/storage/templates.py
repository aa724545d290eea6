"""Templates of launchers and job options: the tags `#NAME#` that jobs have used since 2009, replaced strictly."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from caf.domain.errors import PreparationError
from caf.domain.runs import ATTRIBUTES, to_json

TAG = re.compile(r"#([A-Z][A-Z0-9_]*)#")
"""All else that holds `#`, such as comments, is text and is left alone."""

WITHOUT_MEANING = ("INPUT_STAGE_SVC_CLASS", "OUTPUT_STAGE_SVC_CLASS")
"""Pools of CASTOR, which is gone: empty unless the job's own tags say otherwise."""


def render(text: str, tags: Mapping[str, str], name: str) -> str:
    """Replace every tag of a template once; what a value holds is never looked at again.

    PreparationError with one line "file:line: unknown tag ..." for each tag that there is no value for.
    """
    unknown = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: unknown tag {match[0]}{_did_you_mean(match[1], tags)}"
        for match in TAG.finditer(text)
        if match[1] not in tags
    ]
    if unknown:
        raise PreparationError("\n".join(unknown))
    return TAG.sub(lambda match: tags[match[1]], text)


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
        name = attribute.upper()
        tag = name if name == "RUN" or name.startswith("RUN_") else f"RUN_{name}"
        tags[tag] = _text(to_json(attribute, attributes.get(attribute)))
    run = int(attributes["run"])
    return {
        **tags,
        "RUN_NUMBER": str(run),
        "RUN_NUMBER_PADDED": f"{run:07d}",
        "RUN_NUMBER_PADDED_8": f"{run:08d}",
    }


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

"""Paths of the old system: of raw files, and in the working area."""

import posixpath
import re

from caf.legacy.names import RUN_TAGS, TAG
from caf.legacy.values import PLACEHOLDER, brief

AREA = {
    "#JOB_ROOT_DIR#": "root",
    "#JOB_POOL_DIR#": "pool",
    "#JOB_LOG_DIR#": "log",
    "#JOB_CONFIG_DIR#": "config",
    "#JOB_POST_DIR#": "post",
    "#JOB_WORKING_DIR#": "",
}


def with_fields(text: str) -> tuple[str, str | None]:
    """Write the run's tags as {run}, {run:07d}, {run:08d}, and the job's as {job}; says what else is in the way."""
    if "{" in text or "}" in text:
        return text, f"{brief(text)} has braces, which mean the run now: write it by hand"
    for tag, written in RUN_TAGS.items():
        text = text.replace(tag, written)
    text = text.replace("#JOB_CONFIGURATION#", "{job}")
    if left := TAG.search(text):
        return text, f"{brief(text)} has the tag {left[0]}, which means nothing there: write it by hand"
    return text, None


def raw_glob(path: str) -> tuple[str | None, str | None]:
    """Give a path template of raw files as a glob, and what a person must look at.

    A template named a folder, in which files with the run number in their names were looked for.
    """
    text, why = with_fields(path)
    if why:
        return None, why
    if "{job}" in text:
        return None, f"{brief(path)} depends on the job: write it as the job's own raw"
    text = text.removeprefix("rfio:").replace("[", "[[]")
    last = posixpath.basename(text)
    if not re.search(r"[*?]", last):
        inner = "*RAW*/" if "rucio" in text and not last.endswith("RAW") else ""
        text = f"{text.rstrip('/')}/{inner}*{{run}}*"
    if PLACEHOLDER in text:
        return text, f"{brief(text)}: fill in what {PLACEHOLDER}... stands for"
    if text.startswith(("/castor/", "root://castor")):
        return text, f"{brief(text)}: CASTOR is gone; write where these files are now"
    if not text.startswith("/") and "://" not in text:
        return text, f"{brief(text)} is relative: to the file listeners.toml now"
    return text, None


def in_area(path: str) -> tuple[str | None, str | None]:
    """Give the folder of a working area that a destination means ("" for the area itself), else why it is none."""
    text = path.strip().rstrip("/")
    for tag, folder in AREA.items():
        if text == tag or text.startswith(f"{tag}/"):
            inner, why = with_fields(text[len(tag) :].strip("/"))
            return (None, why) if why else ("/".join(part for part in (folder, inner) if part), None)
    if text in {"", "."} or text in AREA.values():
        return text.strip("."), None
    return None, f"destination {brief(path)} is outside of the working area: name it as `archive`, or copy it by hand"

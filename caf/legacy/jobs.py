"""A job of the old system as a table of listeners.toml, from its entry and from its own Python file."""

import posixpath
from collections.abc import Mapping
from typing import Any

from caf.config.tables import is_address
from caf.legacy.job_files import SILENT, meanings, outputs
from caf.legacy.names import RUN_TAGS, usable
from caf.legacy.paths import in_area, raw_glob, with_fields
from caf.legacy.tables import SERVES, Named, plain
from caf.legacy.toml import Section
from caf.legacy.values import PLACEHOLDER, Problem, Table, Unread, brief, texts, truth, word_set

FILES = word_set(
    "template jobtemplate configuration jobconfiguration config configtemplate configurationtemplate "
    "configfile jobconfigurationtemplate"
)
"""Keys that name the job's own Python file."""

_VALIDATES = frozenset(["needsvalidation", "validation", "validate", "needvalidation"])
_SUCCESS = 'leaving with code 0: "successful run"'
LAUNCHER = "launcher.sh"


class Translation:
    """One job on its way."""

    def __init__(self, named: Named) -> None:
        self.table: Table = named.table
        self.old_name = named.name
        self.name, changed = usable(named.name)
        self.section = Section(f"jobs.{self.name}")
        self.section.remarks.append(f"{named.name}, from {self.table.file}:{self.table.line}.")
        self.problems: list[Problem] = []
        self.templates: list[str] = []
        self.values: dict[str, tuple[Table, Any, Any]] = {}
        if changed:
            self.refuse(self.table, None, f"the name {brief(named.name)} is not usable any more: {self.name} now")

    def refuse(self, table: Table, key: Any, what: str) -> None:
        """Note what a person must look at."""
        line = table.line if key is None else table.line_of(key)
        self.problems.append(Problem(table.file, line, f"job {self.name}: {what}"))

    def take(self, table: Table) -> None:
        """Remember what a table says; an earlier table wins."""
        for meaning, key, value in meanings(table):
            if meaning is not None:
                self.values.setdefault(meaning, (table, key, value))
            elif plain(key) not in SILENT | FILES | _VALIDATES | frozenset((*SERVES, "enabled", "active")):
                self.refuse(table, key, f"{key} = {brief(value)} is not known")

    def words(self, meaning: str) -> list[str]:
        """Give the text or texts that were found under a meaning; anything else is refused."""
        if meaning not in self.values:
            return []
        table, key, value = self.values[meaning]
        found = texts(value)
        if found is None:
            self.refuse(table, key, f"{key} = {brief(value)} is not understood")
            return []
        return found

    def said(self, meaning: str, what: str) -> None:
        """Note what a person must look at, where the value with this meaning stands."""
        table, key, _ = self.values[meaning]
        self.refuse(table, key, what)


def file_of(named: Named) -> str | None:
    """Give the name of the job's own Python file, if its entry has one."""
    for key, value in named.table.items():
        if plain(key) in FILES and isinstance(value, str) and value.strip():
            return posixpath.basename(value.strip())
    return None


def translate(named: Named, own: Table | None, listeners: Mapping[str, str]) -> Translation:
    """Translate one job. `own` is its Python file, `listeners` the translated ones by their old names."""
    found = Translation(named)
    found.take(named.table)
    if own is not None:
        found.take(own)
        found.section.remarks.append(f"The rest from {own.file}.")
    _listeners(found, listeners)
    _validate(found)
    _templates(found)
    _release(found)
    _raw(found)
    for meaning in ("queue", "group"):
        if words := found.words(meaning):
            found.section.add(meaning, words[0])
    log = _log(found)
    _outputs(found, log)
    _mail(found)
    _post(found)
    return found


def _listeners(found: Translation, listeners: Mapping[str, str]) -> None:
    serves: list[str] = []
    for key, value in found.table.items():
        if plain(key) not in SERVES:
            continue
        for name in texts(value) or []:
            if name in listeners:
                serves.append(listeners[name])
            else:
                found.refuse(found.table, key, f"it serves the listener {brief(name)}, which is not there")
        if texts(value) is None and not isinstance(value, Unread):
            found.refuse(found.table, key, f"{key} = {brief(value)} is not a list of listeners")
    if serves:
        found.section.add("listeners", list(dict.fromkeys(serves)))


def _validate(found: Translation) -> None:
    for key, value in found.table.items():
        if plain(key) in {"enabled", "active"} and truth(value) is False:
            found.section.add("enabled", value=False)
        if plain(key) not in _VALIDATES or isinstance(value, Unread):
            continue
        asked = (
            truth(value) if str(value).upper() not in {"NONE", "WAITING", "YES"} else str(value).upper() == "WAITING"
        )
        if asked is None:
            found.refuse(found.table, key, f"{key} = {brief(value)} is neither true nor false: taken as true")
        found.section.add("validate", asked is not False)
        return


def _templates(found: Translation) -> None:
    launchers = [
        posixpath.basename(word.replace("#JOB_CONFIGURATION#", found.name)) for word in found.words("launcher")
    ]
    options = [posixpath.basename(word.replace("#JOB_CONFIGURATION#", found.name)) for word in found.words("options")]
    if not launchers:
        found.refuse(found.table, None, f"no launcher was named: {LAUNCHER} of caf is used, which runs Athena")
    found.templates = list(dict.fromkeys([*(launchers[:1] or [LAUNCHER]), *options]))
    found.section.add("templates", found.templates)
    found.section.add("command", [f"config/{found.templates[0]}"])


def _release(found: Translation) -> None:
    words = found.words("release")
    if words:
        found.section.add("tags", {"ATLAS_RELEASE": words[0]})


def _raw(found: Translation) -> None:
    globs = []
    for path in found.words("raw"):
        pattern, why = raw_glob(path)
        if why:
            found.said("raw", why)
        if pattern:
            globs.append(pattern)
    if globs:
        found.section.add("raw", globs, "instead of the listener's")


def _log(found: Translation) -> str:
    words = found.words("log")
    if not words:
        return "log/athena.log"
    name, why = with_fields(posixpath.basename(words[0]))
    if why:
        found.said("log", why)
        return "log/athena.log"
    return f"log/{name}"


def _outputs(found: Translation, log: str) -> None:
    """Outputs were copied back from the node's scratch, some renamed: that is `scratch` and `copy`."""
    wanted: dict[str, str] = {}
    if "outputs" in found.values:
        table, key, value = found.values["outputs"]
        listed = outputs(value)
        if listed is None:
            found.refuse(table, key, f"{key} = {brief(value)} is not understood")
        for name, new, destination in listed or []:
            folder, why = in_area(destination or "#JOB_ROOT_DIR#")
            if why:
                found.said("outputs", why)
            fields = [with_fields(part.strip().lstrip("/")) for part in (name, new)]
            if wrong := next((why for _, why in fields if why), None):
                found.said("outputs", wrong)
                continue
            place = "/".join(part for part in ("root" if folder is None else folder, fields[1][0]) if part)
            wanted[fields[0][0]] = place
    if wanted:
        found.section.add("scratch", value=True, comment="the payload ran in the node's scratch")
        found.section.add("copy", wanted)
    found.section.add("log", log)
    success: dict[str, Any] = {"exit_code": 0, "log_has": [_SUCCESS]}
    if wanted:
        success["outputs"] = list(wanted.values())
    found.section.add(
        "success", success, "the text in the log was all that counted; take out outputs that may be missing"
    )


def _mail(found: Translation) -> None:
    addresses = [word for words in found.words("mail") for word in words.replace(";", ",").split(",")]
    good = [address.strip() for address in addresses if is_address(address.strip())]
    if good:
        found.section.add("mail", list(dict.fromkeys(good)), "told of failures")
    for address in addresses:
        unread = "@" in address and address.startswith(PLACEHOLDER)
        if address.strip() and not is_address(address.strip()) and not unread:
            found.said("mail", f"{brief(address)} is not a mail address")


def _post(found: Translation) -> None:
    if "post" not in found.values:
        return
    table, key, value = found.values["post"]
    for one in value if isinstance(value, list | tuple) else [value]:
        if one:
            said = one if isinstance(one, str) else brief(one)
            for tag, field in RUN_TAGS.items():
                said = said.replace(tag, field)
            found.section.remarks.append(
                f"Post-treatment: {said} (ran in the batch job after the payload, before outputs were copied: put it "
                'into the launcher; something light may be after = { done = [["..."]] })'
            )
            found.refuse(table, key, f"post-treatment {brief(one)} belongs into the launcher now: put it there")

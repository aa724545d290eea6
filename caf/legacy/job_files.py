"""The Python file of a job (ConfigTemplates/jcTpl_*.py): itself a template, read for what caf asks of a job.

Its names are known in part only (facts of the old system), so each thing is looked for under all the names that such
files have used; case and underscores make no difference.
"""

from collections.abc import Iterator
from typing import Any

from caf.legacy.tables import plain
from caf.legacy.values import Table, Unread, word_set

MEANINGS = {
    "raw": "rawdatafilebasepaths rawdatafilepaths rawdatapaths rawpaths rawpath fileslocations",
    "release": "atlasrelease release athenarelease",
    "queue": "queue batchqueue lsfqueue jobqueue bsubqueue queuename",
    "group": "group batchgroup lsfgroup usergroup jobgroup",
    "launcher": "launcher launcherscript launchertemplate launchscript scripttemplate script jobscript",
    "options": "joboptions joboptionsname joboptionstemplate jobo jotemplate joboptionsfile joboptiontemplate",
    "outputs": "outputfiles outputs outputfile filestocopy output rootfiles poolfiles outputrootfiles outputpoolfiles",
    "log": "logname joblogname logfile log joblog logfilename",
    "mail": "mail mails mailto email emails mailaddress mailaddresses mailinglist mailinglists recipients notify",
    "post": "posttreatments posttreatment posttreatmentscripts postscripts post postprocessing postcommands",
}
_MEANING_OF = {name: meaning for meaning, names in MEANINGS.items() for name in names.split()}

SILENT = word_set(
    "name jobname description comment title id author version runnumber jobconfiguration "
    "jobconfigurationlocal workingdir jobsworkingdir jobworkingdir logdir rootdir pooldir configdir "
    "postdir"
)
"""Names that say nothing that caf would not know by itself."""


def meanings(table: Table) -> Iterator[tuple[str | None, Any, Any]]:
    """Give what each entry means (None: not known), its key and its value; tables that only gather are opened."""
    seen: set[int] = set()
    stack = [table]
    while stack:
        current = stack.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        for key, value in current.items():
            meaning = _MEANING_OF.get(plain(key))
            if isinstance(value, Table) and meaning is None:
                stack.append(value)
            elif not isinstance(value, Unread):
                yield meaning, key, value


def outputs(value: object) -> list[tuple[str, str, str]] | None:
    """Give each output as its name, its new name and its destination (empty: none); None where they are not understood.

    A name; (name, new name); (name, new name, destination); {name: new name}; {name: (new name, destination)};
    {"name": ..., "newname": ..., "destination": ...}: all have been used.
    """
    found: list[tuple[str, str, str]] = []
    if isinstance(value, str):
        value = [value]
    if isinstance(value, Table):
        if (whole := _described(value)) is not None:
            return [whole]
        value = [(name, *(given if isinstance(given, list | tuple) else [given])) for name, given in value.items()]
    if not isinstance(value, list | tuple):
        return None
    for one in value:
        parts = [one] if isinstance(one, str) else one
        described = _described(parts) if isinstance(parts, Table) else None
        if described is not None:
            found.append(described)
        elif isinstance(parts, list | tuple) and 1 <= len(parts) <= 3 and all(_text(part) for part in parts):
            name, new, destination = (*(part or "" for part in parts), "", "")[:3]
            found.append((name, new or name, destination))
        else:
            return None
    return found


def _text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _described(table: Table) -> tuple[str, str, str] | None:
    named = {plain(key): value for key, value in table.items() if isinstance(value, str)}

    def first(*names: str) -> str:
        return next((named[name] for name in names if name in named), "")

    name = first("name", "file", "filename", "source", "src", "oldname")
    if not name:
        return None
    return (
        name,
        first("newname", "rename", "target", "outname", "as") or name,
        first("destination", "dest", "dir", "path"),
    )

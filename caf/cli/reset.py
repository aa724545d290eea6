"""`caf jobs reset`: run a job again, if need be with other tags for this time."""

import re
import sqlite3
from typing import Annotated, Any

import typer

from caf.cli.options import Place, as_text
from caf.cli.orders import Meant, Order, about_jobs, carry_out
from caf.cli.text import harmless
from caf.domain.errors import ConfigError
from caf.domain.jobs import Word

_SETTING = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)", re.ASCII | re.DOTALL)


def _setting(text: str) -> tuple[str, str]:
    found = _SETTING.fullmatch(as_text(text))
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a tag and its value, such as ATLAS_RELEASE=20.1.7.3")
    if harmless(found[2]) != found[2]:
        raise typer.BadParameter(f"{found[1]} must be one line without control characters")
    return found[1], found[2]


Settings = Annotated[
    list[Any] | None,
    typer.Option(
        "--set",
        metavar="TAG=VALUE",
        parser=_setting,
        help="A template's tag, for this time only; may be given again. Needs --reason.",
    ),
]


@about_jobs
def reset(meant: Meant, settings: Settings = None) -> None:
    """Run a job again from the beginning.

    One job by RUN and JOB; or many by options, with --yes.

    Example: caf jobs reset --state FAILED --runs 490001-490100 --yes
    """
    if settings and not meant.why:
        raise typer.BadParameter("is needed with --set: the next shift will read it", param_hint="--reason")
    tags = dict(settings or ())
    name = meant.job if meant.job is not None else meant.of_job
    if tags and name is not None:
        with meant.place.database() as conn:
            _check(conn, meant.place, name, tags)
    carry_out(Order(Word.RESET, meant.who, meant.why, tags or None), meant)


def _check(conn: sqlite3.Connection | None, place: Place, job: str, tags: dict[str, str]) -> None:
    """Say at once if a tag stands in no template of the job; what cannot be looked at now is seen at preparation."""
    from caf.cli.inforce import in_force
    from caf.cli.trial import tags_in
    from caf.storage.area import check_set

    try:
        configuration = in_force(conn, place) if conn is not None else None
    except ConfigError:
        return
    table = configuration.jobs.get(job) if configuration is not None else None
    if configuration is not None and table is not None:
        check_set(tags, tags_in(configuration.caf.templates, table.templates), job)

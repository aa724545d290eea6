"""`caf status`: how the duties do, how many runs and jobs there are, and what needs a person."""

import sqlite3
import time
from typing import Annotated, Any

import typer

from caf.attention import Need
from caf.cli.options import Config, Json, Place, StateDir
from caf.cli.standing import standing
from caf.cli.statuslines import laid_out
from caf.cli.text import harmless, print_json
from caf.domain.errors import CafError

OK, WARNING, CRITICAL = 0, 1, 2


def status(
    nagios: Annotated[
        bool, typer.Option("--nagios", help="One line for a monitoring system; exit status 0, 1 or 2.")
    ] = False,
    as_json: Json = False,
    config: Config = None,
    state: StateDir = None,
) -> None:
    """Show how caf does and who is needed.

    Every line that asks for a person ends with the command to type; the exit status is then 1. `caf watch` is the
    same, live.

    Example: caf status
    """
    now = time.time()
    place = Place.of(config, state)
    try:
        with place.database() as conn:
            found = standing(place, conn, now)
    except (CafError, sqlite3.Error, OSError) as error:
        if not nagios:
            raise
        print(f"CAF CRITICAL - {_one_line(str(error))}")
        raise typer.Exit(CRITICAL) from None
    if nagios:
        raise typer.Exit(_nagios(found.facts, found.needed))
    if as_json:
        print_json({**found.facts, "needs": [need.as_object() for need in found.needed]})
    else:
        print("\n".join(laid_out(found, now).lines()))
    if found.needed:
        raise typer.Exit(1)


def _nagios(facts: dict[str, Any], needed: list[Need]) -> int:
    """Print the one line that a monitoring system wants, with its performance data, and give its code."""
    counts = " ".join(f"{name.lower()}={count}" for name, count in facts["jobs"].items())
    if not facts["database"]:
        print("CAF WARNING - there is no database yet, no supervisor has run here: `caf run`")
        return WARNING
    code = CRITICAL if any(need.critical for need in needed) else WARNING if needed else OK
    text = "; ".join(f"{need.text}: `{need.command}`" for need in needed) or "nothing needs a person"
    word = ("OK", "WARNING", "CRITICAL")[code]
    print(f"CAF {word} - {_one_line(text)} | {counts}".rstrip(" |"))
    return code


def _one_line(text: str) -> str:
    """A bar would begin the performance data."""
    return harmless(" ".join(text.split())).replace("|", "/")

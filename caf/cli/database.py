"""`caf db check`: whether the database is whole, and agrees with itself."""

import typer

from caf.cli.options import Config, Json, Place, StateDir
from caf.cli.text import harmless, print_json
from caf.store import queries


def check(as_json: Json = False, config: Config = None, state: StateDir = None) -> None:
    """Check that the database is whole.

    And that it agrees with itself; the exit status is 1 if anything is wrong.

    Example: caf db check
    """
    place = Place.of(config, state)
    with place.database() as conn:
        findings = [] if conn is None else queries.findings(conn)
    if as_json:
        print_json({"database": conn is not None, "findings": findings})
    else:
        for finding in findings:
            print(harmless(finding))
        if not findings:
            print("there is no database yet" if conn is None else "the database is whole and agrees with itself")
    if findings:
        raise typer.Exit(1)

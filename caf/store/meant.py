"""What is said of a run that caf does not know: which there are, and which was perhaps meant."""

import sqlite3

from caf.domain.spelling import slips


def no_run(conn: sqlite3.Connection, run: int) -> str:
    """Say that a run is not known, which are, and which was perhaps meant."""
    return "".join(unknown_run(conn, run))


def unknown_run(conn: sqlite3.Connection, run: int) -> tuple[str, str]:
    """Say that a run is not known, and which are; and by itself which was perhaps meant, if any."""
    low, high = conn.execute("SELECT min(run), max(run) FROM run").fetchone()
    if low is None:
        return f"no run {run} (no run is known yet)", ""
    alike = sorted({number for number in slips(run) if number < 2**63})
    places = ", ".join("?" * len(alike))
    found = conn.execute(f"SELECT run FROM run WHERE run IN ({places}) ORDER BY run DESC LIMIT 3", alike).fetchall()
    meant = f"; did you mean {' or '.join(str(row[0]) for row in found)}?" if found else ""
    return f"no run {run} (known: {low} to {high})", meant

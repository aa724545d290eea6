"""Read ATLAS COOL databases from SQLite replicas, with plain SQL and never writing (facts: COOL 2.9.2, schema 2.0)."""

from caf.sources.cool.files import expand, marks
from caf.sources.cool.reading import Conditions, Record
from caf.sources.cool.runs import read_runs, read_settled

__all__ = ["Conditions", "Record", "expand", "marks", "read_runs", "read_settled"]

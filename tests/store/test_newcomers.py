"""Runs taken over in bulk get the very verdict, settled flag and columns that each would get on its own."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caf.domain.discovery import Rules
from caf.domain.matching import Condition, Listener, Operator
from caf.domain.runs import SECOND, Correction
from caf.store import configurations, discovery
from caf.store.database import connect
from caf.store.newcomers import Bulk
from tests.store.feeding import write_snapshot

NOW = 1_700_000_000.0
NOW_NS = int(NOW * SECOND)
SETTLE = 100 * SECOND
LONG_AGO, LATELY = NOW_NS - 1000 * SECOND, NOW_NS - 10 * SECOND

NUMBERS = st.sampled_from([None, 0, 1, 5, 1699, 1700, 2**63 - 1])
TEXTS = st.sampled_from([None, "", "scan", "Scan A", "ramp"])
FLAGS = st.sampled_from([None, 0, 1])
TIMES = st.sampled_from([None, LONG_AGO, LATELY])
NOTES = st.sampled_from([None, '{"tier0_tag":{"final":false,"from":1}}', '{"tier0_tag":{"final":true,"from":1}}'])
COLUMNS = {
    "run_type": TEXTS,
    "tier0_tag": TEXTS,
    "recorded": FLAGS,
    "start": TIMES,
    "end": TIMES,
    "last_lb_end": TIMES,
    "stored_events": NUMBERS,
    "recorded_events": NUMBERS,
    "l1_events": NUMBERS,
    "lumi_blocks": NUMBERS,
    "error_bits": st.sampled_from([0, 1, 4]),
    "detector_mask": st.sampled_from([None, f"{0x7C:032x}", f"{0xFF:032x}"]),
    "extra": st.sampled_from([None, '{"shift":"late"}', '{"shift":null}']),
    "notes": NOTES,
}
RUNS = st.lists(st.fixed_dictionaries(COLUMNS), min_size=1, max_size=12)


def _condition(attribute: str, wanted: st.SearchStrategy[Any], *operators: Operator) -> st.SearchStrategy[Condition]:
    def build(pair: tuple[Operator, Any, Any]) -> Condition:
        operator, one, other = pair
        if operator is Operator.KNOWN:
            return Condition(attribute, operator, bool(one))
        several = operator in {Operator.ONE_OF, Operator.NOT_IN}
        return Condition(attribute, operator, (one, other) if several else one)

    return st.tuples(st.sampled_from([*operators, Operator.KNOWN]), wanted, wanted).map(build)


SETS = (Operator.EQUAL, Operator.ONE_OF, Operator.NOT_IN)
KNOWN_NUMBERS = st.sampled_from([0, 1, 5, 1700, 2**63, 2**70])
CONDITIONS = st.one_of(
    _condition("run_type", st.sampled_from(["scan", "ramp", "Scan A", ""]), *SETS, Operator.CONTAINS),
    _condition("tier0_tag", st.sampled_from(["scan", "ramp"]), *SETS),
    _condition("shift", st.sampled_from(["late", "early"]), *SETS),
    _condition("recorded", st.booleans(), Operator.EQUAL),
    _condition("has_events", st.booleans(), Operator.EQUAL),
    _condition("events", KNOWN_NUMBERS, *SETS, Operator.AT_LEAST, Operator.AT_MOST),
    _condition("lumi_blocks", KNOWN_NUMBERS, *SETS, Operator.AT_LEAST, Operator.AT_MOST),
    _condition("error_bits", st.sampled_from([1, 4, 16]), Operator.BITS, Operator.EQUAL),
    _condition("duration", KNOWN_NUMBERS, Operator.AT_LEAST, Operator.AT_MOST),
    _condition("end", st.sampled_from([LONG_AGO, LATELY]), *SETS, Operator.AT_LEAST, Operator.AT_MOST),
    _condition("detector_mask", st.sampled_from([0x7C, 0x83]), Operator.BITS, Operator.EQUAL),
    _condition("run", st.sampled_from([1, 3]), Operator.AT_LEAST, Operator.AT_MOST, *SETS),
)
LISTENERS = st.lists(
    st.builds(
        lambda conditions, minimum: Listener("any", tuple(conditions), minimum),
        st.lists(CONDITIONS, max_size=4),
        st.sampled_from([None, 1, 1700]),
    ),
    min_size=1,
    max_size=3,
).map(lambda found: [Listener(f"L{n}", each.conditions, each.min_events) for n, each in enumerate(found)])
CORRECTIONS = st.sampled_from([(), (Correction(((2, 3),), {"run_type": "scan"}, "it was"),)])


def _judged(
    folder: Path, runs: list[Mapping[str, Any]], rules: tuple[Any, ...], *, bulk: bool
) -> list[tuple[Any, ...]]:
    """Absorb the runs, in bulk or each on its own, and give every row with its verdict's answers."""
    listeners, corrections = rules
    path = folder / ("bulk.db" if bulk else "single.db")
    snapshot = write_snapshot(folder / "snapshot.db", [{"run": n, **run} for n, run in enumerate(runs, 1)])
    with closing(connect(path, create=True)) as conn:
        judged_by = Rules(configurations.keep(conn, "x", "x", "x", NOW), listeners, corrections, SETTLE)
        discovery.attach(conn, snapshot)
        if bulk:
            discovery.absorb(conn, judged_by, -1, 1000, NOW, NOW_NS)
        else:
            _one_by_one(conn, judged_by)
        discovery.detach(conn)
        columns = ", ".join(f'run."{column}"' for column in ("run", *COLUMNS, "settled", "first_seen", "jobs_due"))
        return [
            tuple(row)
            for row in conn.execute(
                f"SELECT {columns}, run.status, run.listener, run.needs_validation, run.judged, verdict.answers, "
                "verdict.status, verdict.listener, verdict.needs_validation FROM run JOIN verdict "
                "ON verdict.id = run.verdict_id ORDER BY run"
            )
        ]


def _one_by_one(conn: sqlite3.Connection, rules: Rules) -> None:
    """The careful way for every run: as if each had been corrected, with nothing."""
    nothing = Correction(((0, 10**9),), {}, "nothing")
    careful = Rules(rules.configuration_id, rules.listeners, (*rules.corrections, nothing), rules.settle)
    discovery.absorb(conn, careful, -1, 1000, NOW, NOW_NS)


@pytest.mark.campaign
@settings(max_examples=80, deadline=None)
@given(runs=RUNS, rules=st.tuples(LISTENERS, CORRECTIONS))
def test_in_bulk_and_one_by_one_are_the_same(runs: list[Mapping[str, Any]], rules: tuple[Any, ...]) -> None:
    with TemporaryDirectory() as folder:
        bulk = _judged(Path(folder), runs, rules, bulk=True)
        assert bulk == _judged(Path(folder), runs, rules, bulk=False)
        assert len(bulk) == len(runs)


def test_a_verdict_that_was_rolled_back_is_not_remembered(tmp_path: Path) -> None:
    """Disk full in the middle of a page: the next page must not point to verdicts that were never kept."""
    run = {"run_type": "scan", "start": LONG_AGO, "end": LONG_AGO}
    snapshot = write_snapshot(tmp_path / "snapshot.db", [{"run": n, **run} for n in (1, 2)])
    with closing(connect(tmp_path / "caf.db", create=True)) as conn:
        rules = Rules(configurations.keep(conn, "x", "x", "x", NOW), [Listener("L", ())], (), SETTLE)
        discovery.attach(conn, snapshot)
        bulk = Bulk()
        conn.execute("CREATE TEMP TRIGGER full BEFORE INSERT ON main.run BEGIN SELECT RAISE(ABORT, 'full'); END")
        try:
            discovery.absorb(conn, rules, -1, 10, NOW, NOW_NS, bulk)
        except sqlite3.IntegrityError:
            conn.execute("DROP TRIGGER full")
        assert not bulk.memo
        assert discovery.absorb(conn, rules, -1, 10, NOW, NOW_NS, bulk).new == 2
        assert not conn.execute("PRAGMA foreign_key_check").fetchall()

"""The one statement that gathers all runs: which folder and column each of the snapshot's columns comes from."""

from dataclasses import dataclass, replace

from caf.domain.runs import NO_END_RECORD, NO_LUMI_RECORD
from caf.sources import snapshot
from caf.sources.cool.attached import MAX_LUMI_BLOCK, Attached
from caf.sources.cool.attributes import Attribute
from caf.sources.cool.folders import OPEN_ENDED
from caf.sources.cool.values import filled, flag, integer, json_member, mask, text

_LOW_WORD = 0xFFFFFFFF
_PROJECT = ("T0ProjectTag", "FilenameTag")  # one thing: Run 2 and later, Run 1


@dataclass(frozen=True, slots=True)
class RunFolders:
    """Where the columns come from; all but the start of run may be missing."""

    sor: Attached
    eor: Attached | None
    counters: Attached | None
    sfo: Attached | None
    lblb: Attached | None
    lb_params: Attached | None
    tier0_tag: Attribute | None
    gain_strategy: Attribute | None
    configured: tuple[Attribute, ...]


def map_runs(found: RunFolders, first_run: int) -> list[str]:
    """Return statements that map runs to their records in each folder that is there."""
    # Counters have no run number of their own, and the old system never trusted one there.
    sources = ((found.sor, True), (found.eor, True), (found.counters, False), (found.sfo, False))
    statements = [each for source, numbered in sources if source for each in source.map_runs(first_run, numbered)]
    attributes = (found.tier0_tag, found.gain_strategy, *found.configured)
    statements += [each for attribute in attributes if attribute for each in attribute.maps()]
    return statements + _map_lb_params(found.lb_params)


def _map_lb_params(source: Attached | None) -> list[str]:
    """Return statements that map each run to its largest lumi block in LB_Params, whose keys are times."""
    if source is None:
        return []
    run, block = integer(source, "RunNumber"), integer(source, "LuminosityBlock")
    return [
        "CREATE TABLE temp.m_lbp (run INTEGER PRIMARY KEY, block INTEGER, record INTEGER)",
        f"""INSERT INTO temp.m_lbp (run, block, record)
            SELECT {run}, {block}, lbp.rowid FROM {source.iovs} lbp {source.payload_join("CROSS")}
            WHERE {run} > 0 AND {block} BETWEEN 0 AND {MAX_LUMI_BLOCK}
                AND {source.known_channels} {source.version.condition("lbp")}
            ON CONFLICT (run) DO UPDATE SET block = excluded.block, record = excluded.record
            WHERE excluded.block > block""",
    ]


def _lb_params_end(source: Attached | None) -> str:
    """Return the end of the last lumi block; one that only the next run's first block closed has none."""
    if source is None:
        return "NULL"
    later = replace(source, alias="later")
    closed_late = f"""EXISTS (SELECT 1 FROM {later.iovs} later {later.payload_join("CROSS")}
        WHERE later.CHANNEL_ID = lbp.CHANNEL_ID AND later.IOV_SINCE = lbp.IOV_UNTIL
        AND {integer(later, "RunNumber")} <> m.run {later.version.condition("later")})"""
    return f"CASE WHEN lbp.IOV_UNTIL < {OPEN_ENDED} AND NOT {closed_late} THEN lbp.IOV_UNTIL END"


def run_statement(found: RunFolders, inverted_before: int) -> str:
    """Return the one query of all the snapshot's columns, by run; m is the map of the runs that started."""
    values = _columns(found, inverted_before)
    attributes = [each for each in (found.tier0_tag, found.gain_strategy, *found.configured) if each]
    selected = ",\n".join(values[name] for name in snapshot.NAMES)
    joins = [f"temp.m_sor m CROSS JOIN {found.sor.iovs} sor ON sor.rowid = m.record", found.sor.payload_join("LEFT")]
    joins += [source.join_mapped() for source in (found.eor, found.counters, found.sfo) if source]
    joins += [found.lblb.join_last_lumi_block()] if found.lblb else []
    joins += [found.lb_params.join_mapped()] if found.lb_params else []
    joins += [attribute.join(values["start"]) for attribute in attributes]
    source = "\n".join(joins)
    return f"SELECT {selected}\nFROM {source}\nORDER BY m.run"


def _columns(found: RunFolders, inverted_before: int) -> dict[str, str]:
    """Return the SQL of each of the snapshot's columns."""
    sor, eor, counters, sfo = found.sor, found.eor, found.counters, found.sfo
    recorded = f"coalesce({flag(sor, 'RecordingEnabled')}, {flag(eor, 'RecordingEnabled')})"
    if inverted_before:
        recorded = f"CASE WHEN m.run < {inverted_before} THEN 1 - {recorded} ELSE {recorded} END"
    partition, configuration = "PartitionName", "DAQConfiguration"
    return {
        "run": "m.run",
        "run_type": f"coalesce({text(sor, 'RunType')}, {text(eor, 'RunType')})",
        "partition": f"coalesce({filled(counters, partition)}, {filled(sfo, partition)}, "
        f"{text(counters, partition)}, {text(sfo, partition)})",
        "daq_configuration": f"coalesce({filled(eor, configuration)}, {text(sor, configuration)}, "
        f"{text(eor, configuration)})",
        "detector_mask": f"coalesce({mask(sor, 'DetectorMask')}, {mask(eor, 'DetectorMask')})",
        "project_tag": f"coalesce({text(sor, *_PROJECT)}, {text(eor, *_PROJECT)})",
        "recorded": recorded,
        "start": f"nullif(coalesce({integer(sor, 'SORTime')}, {integer(eor, 'SORTime')}), 0)",
        "end": f"nullif({integer(eor, 'EORTime')}, 0)",
        "duration": integer(eor, "TotalTime"),
        "clean_stop": flag(eor, "CleanStop"),
        **_lumi_columns(found),
        "l1_events": integer(counters, "L1Events"),
        "l2_events": integer(counters, "L2Events"),
        "ef_events": integer(counters, "EFEvents"),
        "recorded_events": integer(counters, "RecordedEvents"),
        "stored_events": integer(sfo, "StoredEvents"),
        "tier0_tag": found.tier0_tag.text() if found.tier0_tag else "NULL",
        "gain_strategy": found.gain_strategy.text() if found.gain_strategy else "NULL",
        "data_source": text(sor, "DataSource"),
        "extra": _extra(found.configured),
        "notes": _notes(found),
    }


def _no_record(source: Attached | None) -> str:
    return f"({source.present} IS NULL)" if source else "1"


def _lumi_columns(found: RunFolders) -> dict[str, str]:
    """Lumi blocks from the end-of-run interval, else the largest seen; see `_notes` for which are provisional."""
    unseen = _no_record(found.lblb) + (" AND m_lbp.run IS NULL" if found.lb_params else "")
    return {
        "lumi_blocks": f"coalesce({_closed_lumi_blocks(found.eor)}, {_seen_lumi_blocks(found)})",
        "error_bits": f"{NO_END_RECORD} * {_no_record(found.eor)} + {NO_LUMI_RECORD} * ({unseen})",
        "last_lb_end": f"coalesce(nullif({integer(found.lblb, 'EndTime')}, 0), {_lb_params_end(found.lb_params)})",
    }


def _closed_lumi_blocks(eor: Attached | None) -> str:
    if eor is None:
        return "NULL"
    low = f"(eor.IOV_UNTIL & {_LOW_WORD})"
    same_run = "(eor.IOV_UNTIL >> 32) = (eor.IOV_SINCE >> 32)"
    return f"CASE WHEN {eor.present} IS NOT NULL AND {same_run} AND {low} NOT IN (0, {_LOW_WORD}) THEN {low} - 1 END"


def _seen_lumi_blocks(found: RunFolders) -> str:
    lblb = f"lb.IOV_SINCE & {_LOW_WORD}" if found.lblb else "NULL"
    params = "m_lbp.block" if found.lb_params else "NULL"
    return f"max(coalesce({lblb}, {params}), coalesce({params}, {lblb}))"


def _extra(attributes: tuple[Attribute, ...]) -> str:
    """Return the SQL of a JSON object with every configured attribute, sorted by name."""
    if not attributes:
        return "NULL"
    members = (f"{json_member(each.wanted.name)} || {each.json()}" for each in attributes)
    return "'{' || " + " || ',' || ".join(members) + " || '}'"


def _notes(found: RunFolders) -> str:
    """Return the SQL of the notes: inherited values, and lumi blocks counted before the end of the run."""
    seen = _seen_lumi_blocks(found)
    open_run = f"{_no_record(found.eor)} AND {seen} IS NOT NULL"
    members = {"lumi_blocks": f"""CASE WHEN {open_run} THEN '"lumi_blocks":{{"final":false}}' END"""}
    attributes = [each for each in (found.tier0_tag, *found.configured) if each and each.inherits]
    members |= {each.wanted.name: each.note() for each in attributes}
    joined = " || ".join(f"coalesce(',' || {members[name]}, '')" for name in sorted(members))
    # Nearly no run has any, and putting texts together is what costs most.
    some = " OR ".join([f"({open_run})", *(f"({each.is_inherited})" for each in attributes)])
    return f"CASE WHEN {some} THEN '{{' || substr({joined}, 2) || '}}' END"

"""Folders attached to the snapshot's connection, as pieces of SQL: how to find a run's record and take its values.

Nothing here is asked run by run from Python: the pieces become one statement over all runs.
"""

from collections.abc import Callable
from dataclasses import dataclass

from caf.sources.cool.folders import Column, Folder, quoted, quoted_name
from caf.sources.cool.versions import Version

RUN_BITS = 32
MAX_LUMI_BLOCK = 999_999  # more is garbage: a run of a week at one lumi block a second has fewer
_FIRST_KEY = f"(m.run << {RUN_BITS})"
_LAST_LUMI_KEY = f"({_FIRST_KEY} + {MAX_LUMI_BLOCK})"


@dataclass(frozen=True, slots=True)
class Attached:
    """A folder in an attached file (`schema`), in one version, known in SQL by `alias`."""

    folder: Folder
    schema: str
    version: Version
    alias: str

    @property
    def iovs(self) -> str:
        return quoted(self.folder.iov_table, self.schema)

    @property
    def present(self) -> str:
        """Return SQL that is not null where a record was found."""
        if self.folder.vector:
            return f"{self.alias}_p.PAYLOAD_SET_ID"
        return f"{self.alias}_p.PAYLOAD_ID" if self.folder.payload_table else f"{self.alias}.OBJECT_ID"

    @property
    def known_channels(self) -> str:
        """Return the condition that the library's join with the table of channels amounts to."""
        return f"{self.alias}.CHANNEL_ID IN (SELECT CHANNEL_ID FROM {quoted(self.folder.channel_table, self.schema)})"

    def value(self, column: Column) -> str:
        """Return the SQL of a payload column."""
        return f"{self.alias}{'_p' if self.folder.payload_table else ''}.{quoted_name(column.name)}"

    def payload_join(self, kind: str) -> str:
        """Return the join with the payload's own table, if it has one; of a vector, its first item."""
        if not self.folder.payload_table:
            return ""
        table, alias = quoted(self.folder.payload_table, self.schema), self.alias
        if not self.folder.vector:
            return f"{kind} JOIN {table} {alias}_p ON {alias}_p.PAYLOAD_ID = {alias}.PAYLOAD_ID"
        first = f"SELECT min(v.PAYLOAD_ITEM_ID) FROM {table} v WHERE v.PAYLOAD_SET_ID = {alias}.PAYLOAD_SET_ID"
        return (
            f"{kind} JOIN {table} {alias}_p ON {alias}_p.PAYLOAD_SET_ID = {alias}.PAYLOAD_SET_ID "
            f"AND {alias}_p.PAYLOAD_ITEM_ID = ({first}) AND {alias}.PAYLOAD_N_ITEMS > 0"
        )

    def join(self, condition: str) -> str:
        """Return the joins that add the record for which `condition` holds, or nulls."""
        return f"LEFT JOIN {self.iovs} {self.alias} ON {condition}\n{self.payload_join('LEFT')}"

    def join_mapped(self) -> str:
        """Join the record that the map made by `map_runs` holds for the run."""
        table = f"m_{self.alias}"
        return f"LEFT JOIN temp.{table} {table} ON {table}.run = m.run\n" + self.join(
            f"{self.alias}.rowid = {table}.record"
        )

    def map_runs(self, first_run: int, numbered: bool) -> list[str]:
        """Return statements that map each run to its record.

        In a `numbered` folder the payload's RunNumber is trusted where there is one, else the key. Of several records
        of a run the lowest channel's is taken, and in it the latest.
        """
        alias, table = self.alias, f"m_{self.alias}"
        number = self.folder.column("RunNumber") if numbered else None
        run = f"{alias}.IOV_SINCE >> {RUN_BITS}"
        if number is not None:
            run = f"coalesce({self.value(number)}, {run})"
        rank = "SELECT o.CHANNEL_ID, -o.IOV_SINCE, -o.OBJECT_ID FROM"
        return [
            f"CREATE TABLE temp.{table} (run INTEGER PRIMARY KEY, record INTEGER)",
            f"""INSERT INTO temp.{table} (run, record)
                SELECT {run}, {alias}.rowid FROM {self.iovs} {alias} {self.payload_join("CROSS")}
                WHERE {run} >= {int(first_run)} AND {self.known_channels} {self.version.condition(alias)}
                ON CONFLICT (run) DO UPDATE SET record = excluded.record
                WHERE ({rank} {self.iovs} o WHERE o.rowid = excluded.record)
                    < ({rank} {self.iovs} o WHERE o.rowid = record)""",
        ]

    def join_last_lumi_block(self) -> str:
        """Join the record of the run's largest lumi block, in a folder with one interval for each."""
        return self.join(
            f"""{self.alias}.rowid = (SELECT i.rowid FROM {self.iovs} i
                WHERE i.IOV_SINCE >= {_FIRST_KEY} AND i.IOV_SINCE <= {_LAST_LUMI_KEY}
                {self.version.condition("i", unindexed=True)} ORDER BY i.IOV_SINCE DESC LIMIT 1)"""
        )

    def join_of_run(self, channel: int | None) -> str:
        """Join the first record that begins in the run, else the one that covers its first key.

        Without a channel, the lowest channel that has one.
        """
        table = f"m_{self.alias}"
        covering = self._covering(_FIRST_KEY, channel)  # asked only of runs without a record of their own
        return f"LEFT JOIN temp.{table} {table} ON {table}.run = m.run\n" + self.join(
            f"{self._key(self.alias)} = coalesce({table}.record, {covering})"
        )

    def map_own(self, channel: int | None) -> list[str]:
        """Return statements that map each run to the first record that begins in it; see `join_of_run`."""
        table = f"m_{self.alias}"
        wanted = "1 = 1" if channel is None else f"i.CHANNEL_ID = {channel}"
        source, condition = self._rows("i", wanted)
        channels = f"i.CHANNEL_ID IN (SELECT CHANNEL_ID FROM {quoted(self.folder.channel_table, self.schema)})"
        return [
            f"CREATE TABLE temp.{table} (run INTEGER PRIMARY KEY, record INTEGER)",
            f"""INSERT INTO temp.{table} (run, record) SELECT i.IOV_SINCE >> {RUN_BITS}, {self._key("i")}
                FROM {source} i WHERE {condition} AND {channels}
                ORDER BY i.CHANNEL_ID, i.IOV_SINCE ON CONFLICT (run) DO NOTHING""",
        ]

    def join_at(self, time: str, channel: int | None) -> str:
        """Join the record whose [since, until) holds the time (SQL of ns)."""
        return self.join(f"{self._key(self.alias)} = {self._covering(time, channel)}")

    def latest_since(self) -> str:
        """Return the query of the largest key at which a record of this version begins."""
        source, condition = self._rows("i", "1 = 1")
        return f"SELECT max(i.IOV_SINCE) FROM {source} i WHERE {condition}"

    def _key(self, alias: str) -> str:
        return f"{alias}.rowid" if self.version.tag_id is None else f"{alias}.OBJECT_ID"

    def _rows(self, alias: str, condition: str) -> tuple[str, str]:
        """Return the table that holds this version's intervals and the condition on it."""
        if self.version.tag_id is None:
            return self.iovs, condition + self.version.condition(alias)
        table = quoted(self.folder.iov2tag_table, self.schema)
        return table, f"{condition} AND {alias}.TAG_ID = {self.version.tag_id}"

    def _covering(self, key: str, channel: int | None) -> str:
        """Return the query of the record whose [since, until) holds the key."""
        return self._by_channel(channel, lambda of: self._last_if_covering(of, key))

    def _by_channel(self, channel: int | None, record: Callable[[str], str]) -> str:
        """Ask for the record of one channel, or of each until the first that has one."""
        if channel is not None:
            return f"({record(str(channel))})"
        channels, query = quoted(self.folder.channel_table, self.schema), record("c.CHANNEL_ID")
        return f"(SELECT ({query}) FROM {channels} c WHERE ({query}) IS NOT NULL ORDER BY c.CHANNEL_ID LIMIT 1)"

    def _last_if_covering(self, channel: str, key: str) -> str:
        # Intervals of one channel never overlap in one version: only the last that begins at or before it can hold it.
        source, condition = self._rows("i", f"i.CHANNEL_ID = {channel} AND i.IOV_SINCE <= {key}")
        covering = f"CASE WHEN i.IOV_UNTIL > {key} THEN {self._key('i')} END"
        return f"SELECT {covering} FROM {source} i WHERE {condition} ORDER BY i.IOV_SINCE DESC LIMIT 1"

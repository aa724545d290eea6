"""The replicas of one database taken together: each folder from the first file that has it."""

import sqlite3
from contextlib import ExitStack

from caf.domain.errors import SourceError
from caf.sources.cool.attached import Attached
from caf.sources.cool.attributes import Attribute, Wanted, channel_of, column_of
from caf.sources.cool.files import open_replica, read_only_uri, readable
from caf.sources.cool.folders import Catalogue, databases, near, quoted_name
from caf.sources.cool.versions import version_of


class Replicas:
    """The catalogues of all files that hold the database, and what of them is attached to the snapshot."""

    def __init__(self, files: list[str], database: str, busy_timeout: float, snapshot: sqlite3.Connection) -> None:
        self.database, self.busy_timeout = database, busy_timeout
        self.folders: dict[str, str] = {}
        self._snapshot = snapshot
        self._schemas: dict[str, str] = {}
        self._aliases = 0
        self._open = ExitStack()
        self._catalogues: list[Catalogue] = []
        held: dict[str, list[str]] = {}
        try:
            for file in files:
                self._add(file, held)
            if not self._catalogues:
                had = "; ".join(f"{file} has {', '.join(names)}" for file, names in held.items()) or "no replicas"
                raise SourceError(f"no replica has the database {database}: {had}")
        except BaseException:
            self._open.close()
            raise

    def _add(self, file: str, held: dict[str, list[str]]) -> None:
        connection = open_replica(file, self.busy_timeout)
        self._open.callback(connection.close)
        with readable(file, self.busy_timeout):
            held[file] = databases(connection, file)
            if self.database in held[file]:
                self._catalogues.append(Catalogue(connection, file, self.database))

    def close(self) -> None:
        """Close the files; what is attached stays so."""
        self._open.close()

    def find(self, path: str, alias: str) -> Attached | None:
        """Attach a folder's HEAD, or return None if no file has the folder."""
        catalogue = self._catalogue(path)
        return None if catalogue is None else self._attached(catalogue, path, alias, "HEAD")

    def need(self, path: str, alias: str) -> Attached:
        """Attach a folder's HEAD; SourceError with near names if no file has the folder."""
        found = self.find(path, alias)
        if found is None:
            files = ", ".join(catalogue.file for catalogue in self._catalogues)
            raise SourceError(f"{self.database} has no folder {path} in {files}{near(path, self._paths())}")
        return found

    def attribute(self, asked: Wanted, required: bool) -> Attribute | None:
        """Attach an attribute's folder.

        What is not there is a SourceError for a required (configured) attribute, and None for another.
        """
        alias = f"a{self._aliases}"
        self._aliases += 1
        catalogue = self._catalogue(asked.folder)
        if catalogue is None:
            if not required:
                return None
            known = near(asked.folder, self._paths())
            raise SourceError(f"attribute {asked.name}: {self.database} has no folder {asked.folder}{known}")
        try:
            source = self._attached(catalogue, asked.folder, alias, asked.tag)
        except SourceError as error:
            raise SourceError(f"attribute {asked.name}: {error}") from error
        with readable(catalogue.file, self.busy_timeout):
            channels = catalogue.channels(source.folder)
            latest = self._snapshot.execute(source.latest_since()).fetchone()[0] if asked.per_run else None
        if not required and (source.folder.column(asked.column) is None or asked.channel not in (None, *channels)):
            return None
        channel = channel_of(channels, asked)
        return Attribute(asked, source, column_of(source, asked), channel, latest or 0)

    def _catalogue(self, path: str) -> Catalogue | None:
        for catalogue in self._catalogues:
            with readable(catalogue.file, self.busy_timeout):
                if catalogue.has(path):
                    return catalogue
        return None

    def _paths(self) -> list[str]:
        return [node.path for catalogue in self._catalogues for node in catalogue.nodes() if node.is_folder]

    def _attached(self, catalogue: Catalogue, path: str, alias: str, tag: str) -> Attached:
        with readable(catalogue.file, self.busy_timeout):
            folder = catalogue.folder(path)
            version = version_of(catalogue, folder, tag)
            if catalogue.file not in self._schemas:
                self._attach(catalogue.file)
        self.folders[path] = catalogue.file
        return Attached(folder, self._schemas[catalogue.file], version, alias)

    def _attach(self, file: str) -> None:
        most = self._snapshot.getlimit(sqlite3.SQLITE_LIMIT_ATTACHED)
        if len(self._schemas) >= most:
            raise SourceError(
                f"the folders wanted lie in more than {most} replicas ({file} is one too many): put them in fewer files"
            )
        schema = f"replica{len(self._schemas)}"
        self._snapshot.execute(f"ATTACH ? AS {quoted_name(schema)}", (read_only_uri(file),))
        self._schemas[file] = schema

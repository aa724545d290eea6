"""Whether this database is the one that worked last in the folder of working areas: asked once, at every start."""

import time

from caf.domain.errors import StorageError
from caf.storage.child import FileChild
from caf.store import found
from caf.store.database import Database
from caf.store.found import Standing
from caf.tasks.house import QUICK

WAY_OUT = "caf run --take-over"


async def own_work(database: Database, files: FileChild, work: str, database_id: str, *, take_over: bool) -> int:
    """Make the folder this database's own and give the new generation. StorageError says why it may not be used.

    A database that is not the last one that worked there is let in by `take_over` only, and then submits nothing until
    the areas were compared.
    """
    mark = await files.call("mark_of", work, timeout=QUICK)
    owner, generation = mark["owner"], mark["generation"]
    ours = await database.call(found.standing, mark["newest"] if owner == database_id else None)
    older = owner == database_id and (ours.generation < generation or not ours.knows)
    if not take_over:
        _refuse(str(database.path), work, database_id, owner, ours, older=older)
    compare = older or (owner != database_id and (owner is not None or mark["filled"] or ours.used))
    at_least = generation if owner == database_id else 0
    began = await database.call(found.begin, at_least, compare=compare)
    await files.call("mark_work", work, database_id, began, timeout=QUICK)
    return began


def _refuse(path: str, work: str, database_id: str, owner: str | None, ours: Standing, *, older: bool) -> None:
    if owner is not None and owner != database_id:
        raise StorageError(
            f"working areas in {work} belong to database {owner}, not to {database_id}: set another `work` in [caf],\n"
            f"or, if that database is given up: {WAY_OUT}"
        )
    if owner is None and ours.used:
        raise StorageError(
            f"{work} has lost its mark of database {database_id}: check that the file system is mounted;\n"
            f"if it was emptied on purpose: {WAY_OUT}"
        )
    if older:
        when = "never changed" if ours.newest is None else f"last changed {_utc(ours.newest)}"
        raise StorageError(
            f"{path} ({when}) is an older copy: a newer one has worked in {work} since; put the newest in its place,\n"
            f"or, if this is the newest there is: {WAY_OUT}, which looks at all areas before anything is submitted"
        )


def _utc(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))

"""Opens everything that the duties need, in order, and closes it in the opposite order."""

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from caf.batch import systems
from caf.batch.interface import Batch
from caf.batch.local import LocalBatch
from caf.batch.processes import boot_id
from caf.config import Configuration
from caf.domain.errors import StoreError
from caf.domain.jobs import BUSY, State
from caf.duty import Duty
from caf.force import keep
from caf.paths import DATABASE
from caf.storage.child import FileChild
from caf.store import jobs
from caf.store.database import Database, database_id, open_database, recall, remember
from caf.tasks import afterwards, archive, clean, credentials, discover, housekeeping, mail, organise, report
from caf.tasks.checks import Checks
from caf.tasks.house import CALLS, House
from caf.tasks.standing import own_work


async def _stay_with(database: Database, work: str, kind: str) -> None:
    """Refuse another folder of working areas, or another batch system, while attempts are out in the old one.

    Their claims are in the one, and only the other can tell what becomes of them.
    """
    out = await database.call(jobs.in_states, BUSY | {State.CANCELLING})
    for name, key, now in (("work", "[caf] work", work), ("batch_kind", "[batch] kind", kind)):
        before = await database.call(recall, name)
        if before is not None and before != now and out:
            raise StoreError(
                f"{key} was {before} and is {now} now, but {len(out)} jobs are out in {before}: put it back until "
                "they have ended, see `caf jobs list`"
            )


@asynccontextmanager
async def open_house(
    configuration: Configuration, folder: Path, take_over: bool
) -> AsyncIterator[tuple[House, dict[str, Duty]]]:
    """Have the house and its duties by name, in the order in which `run --once` does them."""
    async with (
        open_database(folder / DATABASE) as database,
        credentials.at_hand(configuration, folder, database),
        FileChild(CALLS) as files,
        FileChild(CALLS) as source_files,
        FileChild(CALLS) as raw_files,
        FileChild(CALLS) as archive_files,
        FileChild(CALLS) as report_files,
        FileChild(CALLS) as clean_files,
    ):
        identity = await database.call(database_id)
        work, kind = str(configuration.caf.work), configuration.batch.kind
        await _stay_with(database, work, kind)
        generation = await own_work(database, files, work, identity, take_over=take_over)
        for name, text in (("work", work), ("batch_kind", kind)):
            await database.call(remember, name, text)
        configuration_id = await keep(database, configuration, time.time())
        duties: dict[str, Duty] = {}

        def refill() -> None:
            duties["organise"].hurry()

        batch = _batch(kind, identity, lambda: house, refill)
        children = (files, source_files, raw_files)
        house = House(configuration, configuration_id, database, identity, *children, batch, time.time)
        house.state, house.archive_files, house.generation = folder, archive_files, generation
        house.report_files, house.clean_files = report_files, clean_files
        house.checks = Checks(refill)
        house.jobs_made = lambda: duties["organise"].wake()
        house.scripts_due = lambda: duties["afterwards"].wake()
        if isinstance(batch, LocalBatch):
            house.just_ended, house.durations = batch.take_ended, {}
        house.steady = lambda: (boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME))
        duties.update((duty.name, duty) for duty in _duties(house))
        try:
            yield house, duties
        finally:
            await house.checks.close()
            await batch.close()


def _duties(house: House) -> Iterable[Duty]:
    """Each duty, in order; how often is what the configuration in force says. One whose table is absent finds that."""

    def every(name: str) -> Callable[[], float]:
        return lambda: float(getattr(house.configuration.duties, name))

    yield Duty("credentials", lambda: credentials.interval(house.configuration), credentials.run_once)
    yield Duty("discover", every("discover"), discover.run_once)
    yield Duty("organise", every("organise"), organise.run_once, organise.run_quick)
    yield Duty("afterwards", every("organise"), afterwards.run_once)
    yield Duty("archive", every("organise"), archive.run_once)
    yield Duty("clean", every("clean"), clean.run_once)
    yield Duty("housekeeping", lambda: housekeeping.interval(house.configuration), housekeeping.run_once)
    yield Duty("report", every("report"), report.Reporter().run_once)
    yield Duty("mail", lambda: mail.interval(house.configuration), mail.run_once)


def _batch(kind: str, identity: str, house: Callable[[], House], refill: Callable[[], None]) -> Batch:
    """Make the batch system; how long its clients may take is what the configuration in force says."""

    def limit() -> float:
        return house().configuration.batch.client_timeout

    def unreadable(client: str, said: str) -> None:
        house().log.error("batch.unreadable", client=client, said=said)

    def slots() -> int:
        return house().slots()

    return systems.make(kind, systems.Surroundings(identity, limit, unreadable, refill, time.time, slots))

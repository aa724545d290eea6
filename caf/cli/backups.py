"""`caf db backup` and `caf db restore`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caf import paths
from caf.cli.database import make_folder
from caf.cli.options import By, Config, Place, Reason, StateDir
from caf.cli.orders import one_line, person
from caf.cli.progress import Progress, busy
from caf.cli.text import counted, harmless, say, warn
from caf.domain.errors import CafError, ConfigError, Refused, StoreError

if TYPE_CHECKING:
    from caf.store.restoring import Restored


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help="Where to; not there yet.")],
    config: Config = None,
    state: StateDir = None,
) -> None:
    """Back the database up, also while the supervisor runs.

    The copy is read as a whole before it gets its name. The supervisor makes one every day by itself.

    Example: caf db backup /data/before-the-upgrade.db
    """
    from caf.store.backups import copy_to

    source = Place.of(config, state).state / paths.DATABASE
    if file.is_dir():
        raise Refused(f"{file}: is a folder: name a file in it that is not there yet, such as {file / 'caf.db'}")
    if file.exists():
        raise Refused(f"{file}: is there already: name another file")
    if not source.exists() or not source.stat().st_size:
        raise StoreError(f"{source}: no database yet: it is made by the first `caf run`")
    with Progress("backup", "MB", 1e6) as progress:
        made = copy_to(str(source), str(file), progress)
    size = f"{made['bytes'] / 1e6:.1f} MB"
    say(harmless(f"{file}: {counted(made['runs'], 'run')}, {counted(made['jobs'], 'job')}, {size}, whole"))


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help="A backup.")],
    reason: Reason = None,
    by: By = None,
    config: Config = None,
    state: StateDir = None,
) -> None:
    """Put a backup in the database's place.

    The one that it replaces stays beside it. Only while no supervisor runs. A backup that is damaged, of a newer caf or
    of another installation is refused.

    Example: caf db restore /data/before-the-upgrade.db --reason "new disk"
    """
    from caf.lock import held
    from caf.store import restoring

    place = Place.of(config, state)
    who, why = person(by), one_line(reason) if reason else None
    mark = _mark(place)
    order = restoring.Order(who, why, mark.get("owner"), mark.get("newest"))
    make_folder(place.state)
    with held(place.state / paths.LOCK, time.time(), "caf db restore"), busy("restoring"):
        done = restoring.restore(file, place.state / paths.DATABASE, order, time.time())
    _tell(file, done, mark)


def _mark(place: Place) -> dict[str, Any]:
    """Give what the mark of the working areas says; nothing where it cannot be read."""
    from caf.storage.work import mark_of

    try:
        return mark_of(str(paths.work_folder(place.config)))
    except ConfigError:
        return {}
    except CafError as error:
        warn(harmless(f"{error}: whether the working areas are ahead of the backup is not known"))
        return {}


def _tell(file: Path, done: "Restored", mark: dict[str, Any]) -> None:
    last = done.standing.newest
    when = "never changed" if last is None else f"last changed {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(last))}"
    runs, jobs = counted(done.contents.runs, "run"), counted(done.contents.jobs, "job")
    say(harmless(f"restored from {file}: {runs}, {jobs}, {when}"))
    if done.aside is not None:
        say(harmless(f"the database before it: {done.aside}"))
    ahead = mark.get("owner") is not None and (done.standing.generation < mark["generation"] or not done.standing.knows)
    if ahead:
        say(
            "the working areas are ahead of it, so the next start is refused without --take-over, which compares them "
            "all before anything is submitted: `caf run --once --take-over`, then start the supervisor as ever"
        )
    else:
        say("now start the supervisor as ever")

"""An attempt's working area: made whole or not at all, and never used twice."""

import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from caf.domain.errors import PreparationError
from caf.storage.failures import PASSING, storage_error
from caf.storage.records import CLAIM
from caf.storage.templates import render, tags_of

FOLDERS = ("config", "log", "root", "pool", "post")
FACTS = "job.json"
SCRIPT = "caf.sh"


def prepare(request: dict[str, Any]) -> dict[str, Any]:
    """Make `work/<run>_<job>/<attempt>/` with its folders, the rendered templates and job.json.

    The request has: work, templates (absolute folders), run, job, attempt, database_id, job_id, files (names of
    templates), command, listener, attributes (of the run), tags (the job's own), inputs [{path, size}], log, and facts
    (an object that goes into job.json as it is). Gives {area, templates: {name: sha256}, replaced}.

    The folder appears in one rename. One that is there already is replaced only if it is this attempt's own and was
    never given a script or a claim; else PreparationError. StorageError where the file system refuses.
    """
    folder = Path(request["work"], f"{request['run']}_{request['job']}")
    area = folder / str(request["attempt"])
    fresh = folder / f".{area.name}.{secrets.token_hex(4)}"
    with _shared_with_group():
        try:
            replaced = _may_be_made(area, request)
            folder.mkdir(exist_ok=True)
            _sweep(folder, area.name)
            sums = _fill(fresh, area, request)
            if replaced:
                area.rename(fresh.with_name(f"{fresh.name}.old"))
            fresh.rename(area)
            _sweep(folder, area.name)
        except OSError as error:
            raise storage_error("prepare", str(error.filename or area), error) from error
        finally:
            if fresh.exists():
                shutil.rmtree(fresh, ignore_errors=True)
    return {"area": str(area), "templates": sums, "replaced": replaced}


@contextmanager
def _shared_with_group() -> Iterator[None]:
    """Let the group use what is made; a set-group-id bit is inherited by itself."""
    before = os.umask(0o007)
    try:
        yield
    finally:
        os.umask(before)


def _sweep(folder: Path, attempt: str) -> None:
    """Remove what a crash, or a replaced area, has left beside the attempt's folder."""
    for left in folder.glob(f".{attempt}.*"):
        shutil.rmtree(left, ignore_errors=True)


def _may_be_made(area: Path, request: dict[str, Any]) -> bool:
    """Tell whether the area is there and may be replaced; PreparationError if it is there and may not."""
    if not os.path.lexists(area):
        return False
    wanted = {key: request[key] for key in ("database_id", "job_id", "attempt")}
    found = _facts(area)
    owner = {key: found.get(key) for key in wanted}
    if owner == wanted and not any(os.path.lexists(area / name) for name in (CLAIM, SCRIPT)):
        return True
    whose = (
        "was already given to the batch system or claimed"
        if owner == wanted
        else f"belongs to job {owner['job_id']}, attempt {owner['attempt']}, of database {owner['database_id']}"
        if any(owner.values())
        else f"holds no {FACTS} that says whose it is"
    )
    raise PreparationError(
        f"{area} is there already and {whose}; it is never used again. A reset takes the next folder:"
        f" caf jobs reset {request['run']} {request['job']}"
    )


def _facts(area: Path) -> dict[str, Any]:
    try:
        facts = json.loads((area / FACTS).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _fill(fresh: Path, area: Path, request: dict[str, Any]) -> dict[str, str]:
    fresh.mkdir()
    for name in FOLDERS:
        (fresh / name).mkdir()
    files = list(dict.fromkeys(request["files"]))
    tags = tags_of(
        work=request["work"],
        area=str(area),
        templates=request["templates"],
        files=files,
        job=request["job"],
        attempt=request["attempt"],
        listener=request["listener"],
        attributes={**request["attributes"], "run": request["run"]},
        raw=[file["path"] for file in request["inputs"]],
        log=request["log"],
        own=request["tags"],
    )
    sums = _render_all(Path(request["templates"]), files, tags, fresh / "config")
    _check_command(fresh, request)
    ours = {key: request[key] for key in ("database_id", "job_id", "run", "job", "attempt", "command", "inputs")}
    facts = {**request["facts"], **ours, "tags": tags, "templates": sums}
    _write(fresh / FACTS, json.dumps(facts, indent=1).encode() + b"\n", 0o660)
    return sums


def _render_all(templates: Path, files: list[str], tags: dict[str, str], config: Path) -> dict[str, str]:
    """Render all templates; everything that is wrong with any of them is said at once."""
    sums, wrong = {}, []
    for name in files:
        try:
            data, mode = _read_template(templates, name)
            text = render(data.decode("utf-8"), tags, name)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            wrong.append(f"{name}:{line}: not UTF-8: convert {templates / name}, or leave it out of `templates`")
        except PreparationError as error:
            wrong.append(str(error))
        else:
            target = config / name
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(target, text.encode("utf-8", "surrogateescape"), mode)
            sums[name] = hashlib.sha256(data).hexdigest()
    if wrong:
        raise PreparationError("\n".join(wrong))
    return sums


def _read_template(templates: Path, name: str) -> tuple[bytes, int]:
    parts = Path(name).parts
    if not parts or ".." in parts or Path(name).is_absolute():
        raise PreparationError(f"template {name!r} leads out of {templates}: name it relative to that folder")
    try:
        with open(templates / name, "rb") as file:
            return file.read(), stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o777
    except OSError as error:
        if error.errno in PASSING:
            raise storage_error("read template", str(templates / name), error) from error
        raise PreparationError(f"cannot read template {templates / name}: {error.strerror}") from error


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        file.write(data)


def _check_command(fresh: Path, request: dict[str, Any]) -> None:
    """Look for a program that the area itself must hold; others are looked for on the node only."""
    program = request["command"][0]
    if "/" not in program or program.startswith("/"):
        return
    inside = os.path.normpath(program)
    path = fresh / inside
    if not inside.startswith("..") and os.path.isfile(path) and os.access(path, os.X_OK):
        return
    name = os.path.relpath(inside, "config")
    template = Path(request["templates"], name)
    if name in request["files"]:
        raise PreparationError(f"command {program} of {request['job']} is not executable: chmod +x {template}")
    raise PreparationError(
        f"command {program} of {request['job']} is not in the working area: add its template to `templates` of the job"
    )


def write_script(area: str, text: str) -> None:
    """Put `caf.sh` into an area in one step. From then on the attempt's folder is never made anew."""
    path = Path(area, SCRIPT)
    fresh = path.with_name(f".{SCRIPT}.{secrets.token_hex(4)}")
    with _shared_with_group():
        try:
            _write(fresh, text.encode("utf-8", "surrogateescape"), 0o770)
            fresh.rename(path)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise storage_error("write", str(path), error) from error

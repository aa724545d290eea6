"""An attempt's working area: made whole or not at all, and never used twice."""

import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from caf.domain.errors import PreparationError, Refused
from caf.storage.failures import PASSING, storage_error
from caf.storage.records import CLAIM
from caf.storage.templates import names_in, render, tags_of

FOLDERS = ("config", "log", "root", "pool", "post")
FACTS = "job.json"
SCRIPT = "caf.sh"


def prepare(request: dict[str, Any]) -> dict[str, Any]:
    """Make `work/<run>_<job>/<attempt>/` with its folders, the rendered templates and job.json.

    The request has: work, templates (absolute folders), run, job, attempt, database_id, job_id, files (names of
    templates), command, listener, attributes (of the run), tags (the job's own), inputs [{path, size}], log, facts
    (an object that goes into job.json as it is), and if a person set tags for this time, set (an object; they win).
    Gives {area, templates: {name: sha256}, replaced}.

    The folder appears in one rename. One that is there already is replaced only if it is this attempt's own and was
    never given a script or a claim; else PreparationError. StorageError where the file system refuses.
    """
    name = str(request["attempt"])
    folder = f"{request['work']}/{request['run']}_{request['job']}"
    area, fresh = f"{folder}/{name}", f"{folder}/.{name}.{secrets.token_hex(4)}"
    with _shared_with_group():
        try:
            replaced = _may_be_made(Path(area), request)
            if not _make_folder(folder):
                _sweep(folder, name)
            try:
                sums = _fill(fresh, area, request)
            except FileNotFoundError:  # it was empty, and cleaning has just removed it
                if not _make_folder(folder):
                    raise
                sums = _fill(fresh, area, request)
            if replaced:
                os.rename(area, f"{fresh}.old")
            os.rename(fresh, area)
            if replaced:
                _sweep(folder, name)
        except OSError as error:
            shutil.rmtree(fresh, ignore_errors=True)
            raise storage_error("prepare", str(error.filename or area), error) from error
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
    return {"area": area, "templates": sums, "replaced": replaced}


def lay_out(request: dict[str, Any], into: str) -> dict[str, str]:
    """Make what `prepare` would make, in a folder of anybody's choice that is not there yet or empty.

    All paths in it lead into that folder. Gives the templates' checksums; Refused if something is in it.
    """
    if os.path.lexists(into) and not (os.path.isdir(into) and not os.listdir(into)):
        raise Refused(f"{into} is there already, and is no empty folder: name another one")
    fresh = f"{into}.{secrets.token_hex(4)}"
    try:
        os.makedirs(os.path.dirname(into), exist_ok=True)
        sums = _fill(fresh, into, request)
        os.rename(fresh, into)
    except OSError as error:
        raise storage_error("make", str(error.filename or into), error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return sums


def _make_folder(folder: str) -> bool:
    """Make the folder of a job's attempts; False if it is there already."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        return False
    return True


@contextmanager
def _shared_with_group() -> Iterator[None]:
    """Let the group use what is made; a set-group-id bit is inherited by itself."""
    before = os.umask(0o007)
    try:
        yield
    finally:
        os.umask(before)


def _sweep(folder: str, attempt: str) -> None:
    """Remove what a crash, or a replaced area, has left beside the attempt's folder."""
    for name in os.listdir(folder):
        if name.startswith(f".{attempt}."):
            shutil.rmtree(f"{folder}/{name}", ignore_errors=True)


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


def _fill(fresh: str, area: str, request: dict[str, Any]) -> dict[str, str]:
    os.mkdir(fresh)
    for name in FOLDERS:
        os.mkdir(f"{fresh}/{name}")
    files = list(dict.fromkeys(os.path.normpath(name) for name in request["files"]))
    own, raw = {**request["tags"], **request.get("set", {})}, [file["path"] for file in request["inputs"]]
    tags = tags_of(
        work=request["work"],
        area=area,
        templates=request["templates"],
        files=files,
        job=request["job"],
        attempt=request["attempt"],
        listener=request["listener"],
        attributes={**request["attributes"], "run": request["run"]},
        raw=raw,
        log=request["log"],
        own=own,
    )
    fill_in = partial(_rendered, tags=tags, raw=raw, own=own)
    sums, used = _render_all(Path(request["templates"]), files, fill_in, f"{fresh}/config")
    check_set(request.get("set", {}), used, request["job"])
    _check_command(fresh, request)
    ours = {key: request[key] for key in ("database_id", "job_id", "run", "job", "attempt", "command", "inputs")}
    facts = {**request["facts"], **ours, "tags": tags, "set": request.get("set", {}), "templates": sums}
    # A line for each fact: json.dumps with an indentation would take longer than all else that is done here.
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in facts.items())
    _write(f"{fresh}/{FACTS}", f"{{\n{lines}\n}}\n".encode(), 0o660)
    return sums


def _rendered(
    data: bytes, name: str, *, tags: dict[str, str], raw: list[str], own: dict[str, str]
) -> tuple[str, set[str]]:
    text = data.decode("utf-8")
    return render(text, tags, name, raw=raw, own=own), names_in(text)


def _render_all(
    templates: Path, files: list[str], fill_in: Callable[[bytes, str], tuple[str, set[str]]], config: str
) -> tuple[dict[str, str], set[str]]:
    """Render all templates, and give their checksums and tags; all that is wrong with any of them is said at once."""
    sums, used, wrong = {}, set[str](), []
    for name in files:
        try:
            data, mode = _read_template(templates, name)
            text, names = fill_in(data, name)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            wrong.append(f"{name}:{line}: not UTF-8: convert {templates / name}, or leave it out of `templates`")
        except PreparationError as error:
            wrong.append(str(error))
        else:
            target = f"{config}/{name}"
            if "/" in name:
                os.makedirs(os.path.dirname(target), exist_ok=True)
            _write(target, text.encode("utf-8", "surrogateescape"), mode)
            sums[name] = hashlib.sha256(data).hexdigest()
            used |= names
    if wrong:
        raise PreparationError("\n".join(wrong))
    return sums, used


def check_set(given: Mapping[str, str], used: set[str], job: str) -> None:
    """Refuse a tag that a person set and no template uses: it would do nothing, and nobody would notice."""
    used = used | ({"ATLAS_RELEASE"} if "ATLAS_RELEASE_NOCACHE" in used else set())
    if idle := sorted(set(given) - used):
        known = f"they use {', '.join(sorted(used))}" if used else "they use none"
        raise PreparationError(f"--set {idle[0]}: no template of {job} uses this tag: {known}")


def _read_template(templates: Path, name: str) -> tuple[bytes, int]:
    parts = Path(name).parts
    if not parts or ".." in parts or Path(name).is_absolute():
        raise PreparationError(f"template {name!r} leads out of {templates}: name it relative to that folder")
    real, folder = os.path.realpath(templates / name), os.path.realpath(templates)
    if not real.startswith(f"{folder}/"):
        raise PreparationError(f"template {name!r} is a link that leads out of {templates}: put the file itself there")
    try:
        with open(real, "rb", opener=_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise PreparationError(f"cannot read template {templates / name}: it is not a regular file")
            return file.read(), stat.S_IMODE(status.st_mode) & 0o777
    except OSError as error:
        if error.errno in PASSING:
            raise storage_error("read template", str(templates / name), error) from error
        raise PreparationError(f"cannot read template {templates / name}: {error.strerror}") from error


def _at_once(path: str, flags: int) -> int:
    """Open a file, even a pipe, without waiting for anybody."""
    return os.open(path, flags | os.O_NONBLOCK)


def _write(path: str, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb", buffering=0) as file:
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]


def _check_command(fresh: str, request: dict[str, Any]) -> None:
    """Look for a program that the area itself must hold; others are looked for on the node only."""
    program = request["command"][0]
    if "/" not in program or program.startswith("/"):
        return
    inside = os.path.normpath(program)
    path = f"{fresh}/{inside}"
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
    path, fresh = f"{area}/{SCRIPT}", f"{area}/.{SCRIPT}.{secrets.token_hex(4)}"
    with _shared_with_group():
        try:
            _write(fresh, text.encode("utf-8", "surrogateescape"), 0o770)
            os.rename(fresh, path)
        except OSError as error:
            with suppress(OSError):
                os.unlink(fresh)
            raise storage_error("write", path, error) from error

"""What `caf check` says of the batch system: which client answers, whether queues are there, what would be handed over.

And its probe: one small job that proves that nodes see `work`, and that this machine sees what they write there.
"""

import asyncio
import os
import shlex
import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from caf.batch import systems
from caf.batch.interface import Batch, Finding, Named, SiteBatch, Submission, Watched
from caf.cli.text import harmless, span
from caf.domain.errors import BatchError
from caf.domain.following import Sight, Sighting

if TYPE_CHECKING:
    from caf.config import Configuration

Answer = TypeVar("Answer")
NOBODY = "00000000"  # a database that never was: what it would hand over is only shown
PATIENCE = 300.0  # s that the probe's job may take
SOON, SELDOM = 0.1, 2.0  # s between two looks
MEMORY = 100_000_000
PROBE = """#!/bin/sh
# Made by `caf check --probe`. It tells whether this node sees what another machine writes here, and answers.
cd {folder} || exit 70
IFS= read -r caf_word <asked || exit 71
[ "$caf_word" = {word} ] || exit 71
printf '%s\\n' "$caf_word" "$(uname -n)" end >answered || exit 72
"""
SAID_BY = {
    70: "the node does not see {folder}: mount `work` there at the same path",
    71: "the node does not see what this machine writes in {folder}: is it another file system there?",
    72: "the node sees {folder} but cannot write there: may the account write there on nodes?",
}


def examine(configuration: "Configuration") -> list[Finding]:
    """Ask the batch system's clients; nothing is submitted. BatchError if one is missing or nobody answers."""

    batch = configuration.batch
    return _ask(batch.kind, batch.client_timeout, lambda site: site.examine(_submissions(configuration)))


def named(kind: str, limit: float, batch_id: str) -> Named | None:
    """Ask what has this id; None: nothing. `limit` is s that a client may take. BatchError if nobody answers."""
    return _ask(kind, limit, lambda site: site.named(batch_id))


def _ask(kind: str, limit: float, question: Callable[[SiteBatch], Awaitable[Answer]]) -> Answer:
    async def ask() -> Answer:
        site = systems.site(kind, _surroundings(limit, []))
        try:
            return await question(site)
        finally:
            await site.close()

    return asyncio.run(ask())


def _surroundings(limit: float, garbage: list[str]) -> systems.Surroundings:
    def keep(client: str, said: str) -> None:
        garbage.append(f"{client} said: {harmless(said)}")

    return systems.Surroundings(NOBODY, lambda: limit, keep, lambda: None, time.time)


def _submissions(configuration: "Configuration") -> dict[str, Submission]:
    """Give an example of what each job would be handed over as."""
    found = {}
    for name, job in configuration.jobs.items():
        if job.enabled:
            script = f"{configuration.caf.work}/RUN_{name}/1/caf.sh"
            token, wants = f"caf-{NOBODY}-1-1-{NOBODY}", (job.cpus, job.memory, job.walltime, job.options)
            found[name] = Submission(token, script, job.queue, job.group, *wants)
    return found


def probe(configuration: "Configuration", patience: float = PATIENCE) -> list[Finding]:
    """Hand one small job over, as the first job that is enabled would be, and tell what it proved.

    It has a folder of its own in `work`, which is removed afterwards, as is `work` if it was not there.
    """
    work = configuration.caf.work
    there = work.exists()
    folder = work / f".caf-probe-{os.urandom(4).hex()}"
    try:
        (folder / "log").mkdir(parents=True)
        return asyncio.run(_probe(configuration, folder, patience))
    except OSError as error:
        return [Finding("BAD", f"probe: {folder} cannot be made: {error.strerror}")]
    except BatchError as error:
        return [Finding("BAD", f"probe: {error}")]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not there:
            with suppress(OSError):
                work.rmdir()


async def _probe(configuration: "Configuration", folder: Path, patience: float) -> list[Finding]:
    word, garbage = os.urandom(8).hex(), list[str]()
    (folder / "asked").write_text(f"{word}\n")
    (folder / "caf.sh").write_text(PROBE.format(folder=shlex.quote(str(folder)), word=word))
    token = f"caf-probe-{word}"
    job = next((job for job in configuration.jobs.values() if job.enabled), None)
    queue, group, options = (None, None, ()) if job is None else (job.queue, job.group, job.options)
    batch = systems.make(configuration.batch.kind, _surroundings(configuration.batch.client_timeout, garbage))
    try:
        submission = Submission(token, f"{folder}/caf.sh", queue, group, 1, MEMORY, patience, options)
        begun = time.monotonic()
        watched = Watched(token, (await batch.submit(submission)).batch_id, asked=time.time())
        seen = await _wait(batch, watched, lambda: _answer(folder, word) is not None, patience, configuration)
        took = span(time.monotonic() - begun)
        return [_finding(folder, word, seen, took), *(Finding("", text) for text in garbage)]
    finally:
        with suppress(BatchError):
            await batch.cancel([Watched(token)])
        await batch.close()


async def _wait(
    batch: Batch, watched: Watched, answered: Callable[[], bool], patience: float, configuration: "Configuration"
) -> Sighting:
    """Look until there is an answer, or none can come; gives what the batch system said last."""
    end, pause = time.monotonic() + patience, SOON
    seen = Sighting(Sight.UNKNOWN)
    while not answered() and time.monotonic() < end:
        if seen.sight is not Sight.ENDED:
            seen = (await batch.look([watched])).get(watched.token, seen)
            if seen.sight is Sight.ENDED:  # file systems lag
                end = min(end, time.monotonic() + configuration.caf.record_grace)
        await asyncio.sleep(pause)
        pause = min(1.5 * pause, SELDOM)
    return seen


def _answer(folder: Path, word: str) -> str | None:
    """Give the node that has answered; None if there is no whole answer."""
    os.listdir(folder)  # has a network file system look at what there is now
    try:
        lines = (folder / "answered").read_text(errors="replace").split("\n")
    except FileNotFoundError:
        return None
    return lines[1] if len(lines) == 4 and lines[0] == word and lines[2] == "end" else None


def _finding(folder: Path, word: str, seen: Sighting, took: str) -> Finding:
    """Say which way it works, and which it does not."""
    work = folder.parent
    if (node := _answer(folder, word)) is not None:
        text = f"probe: a job on {harmless(node)} saw what this machine wrote in {work}, and its answer came in {took}"
        return Finding("ok", text)
    said = harmless(seen.reason or seen.sight)
    if seen.sight is not Sight.ENDED:
        return Finding("BAD", f"probe: nothing is proved: after {took} its job (batch id {seen.batch_id}) is {said}")
    if seen.exit_code == 0:
        text = (
            f"a job saw what this machine wrote in {work}, but its answer is not seen here after {took}: is it another"
        )
        return Finding("BAD", f"probe: {text} file system here?")
    known = SAID_BY.get(seen.exit_code or 0)
    if known is not None:
        return Finding("BAD", f"probe: {known.format(folder=work)}")
    both = f"the node does not see {work} at the same path, or cannot write there"
    return Finding("BAD", f"probe: the job ended ({said}) without an answer: most likely {both}")

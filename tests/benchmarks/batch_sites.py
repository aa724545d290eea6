"""The batch systems that tests.benchmarks.batch measures, each brought up for that, and what is peculiar to it."""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from caf.batch import htcondor_submit, lsf_submit, slurm_submit
from caf.batch.htcondor_ads import IN_QUEUE
from caf.batch.interface import Submission
from caf.batch.lsf_answers import FORMS
from caf.batch.lsf_jobs import ALL_OF_CAF
from caf.batch.slurm_answers import QUEUE_FORMAT
from tests.clusters import htcondor, slurm
from tests.clusters.lsf import cluster as lsf

AT_ONCE = 4
HTCONDOR_BULK = """universe = vanilla
executable = /bin/true
transfer_executable = False
should_transfer_files = NO
hold = True
My.CafToken = "$(token)"
queue token from {tokens}
"""


@dataclass(frozen=True, slots=True)
class BenchSite:
    """A batch system that is up. `job` are keys of [jobs.Fit] with which a job never starts.

    `bulk` hands over jobs with these tokens that never start, as fast as may be, and gives their ids; `poll` is the
    bare call that tells of all jobs of a database.
    """

    kind: str
    submitter: str
    room: Path
    environment: Mapping[str, str]
    job: str
    arguments: Callable[[Submission], list[str]]
    bulk: Callable[[Sequence[str], Path], list[str]]
    poll: Callable[[str], list[str]]
    clear: Callable[[], None]


@contextmanager
def _slurm(folder: Path) -> Iterator[BenchSite]:
    def bulk(tokens: Sequence[str], at: Path) -> list[str]:
        script = at / "true.sh"
        script.write_text("#!/bin/sh\ntrue\n")

        def submit(token: str) -> str:
            return cluster.call("sbatch", "--parsable", "--job-name", token, "--partition=closed", str(script)).strip()

        with ThreadPoolExecutor(AT_ONCE) as turns:
            return list(turns.map(submit, tokens))

    squeue = ["squeue", "--noheader", "--states=all", f"--user={os.getuid()}", f"--format={QUEUE_FORMAT}"]
    with slurm.running(folder, "slurmbench", "--min-job-age", "1800") as cluster:
        yield BenchSite(
            kind="slurm",
            submitter="sbatch",
            room=folder,
            environment=cluster.environment,
            job='queue = "closed"',
            arguments=slurm_submit.arguments,
            bulk=bulk,
            poll=lambda identity: squeue,
            clear=cluster.clear,
        )


@contextmanager
def _htcondor(folder: Path) -> Iterator[BenchSite]:
    def bulk(tokens: Sequence[str], at: Path) -> list[str]:
        (at / "tokens").write_text("".join(f"{token}\n" for token in tokens))
        (at / "bulk.sub").write_text(HTCONDOR_BULK.format(tokens=at / "tokens"))
        number = cluster.call("condor_submit", "-terse", str(at / "bulk.sub")).split(".")[0]
        return [f"{number}.{process}" for process in range(len(tokens))]

    def clear() -> None:
        subprocess.run(["condor_rm", "-all"], check=True, capture_output=True)

    condor_q = ["condor_q", "-json", "-attributes", IN_QUEUE, "-constraint"]
    with htcondor.running(folder, "htcondorbench") as cluster:
        yield BenchSite(
            kind="htcondor",
            submitter="condor_submit",
            room=cluster.room("bench"),
            environment=cluster.environment,
            job='options = ["hold = True"]',
            arguments=htcondor_submit.submit_arguments,
            bulk=bulk,
            poll=lambda identity: [*condor_q, f'substr(CafToken, 0, {len(identity) + 5}) == "caf-{identity}-"'],
            clear=clear,
        )


@contextmanager
def _lsf(folder: Path) -> Iterator[BenchSite]:
    def bulk(tokens: Sequence[str], at: Path) -> list[str]:
        told = cluster.control(waiting=list(tokens))["jobs"]
        ids = {name: str(number) for number, name, *_ in told}
        return [ids[token] for token in tokens]

    with lsf.running(folder / "lsf") as cluster:
        form = FORMS[0]
        yield BenchSite(
            kind="lsf",
            submitter="bsub",
            room=folder,
            environment=cluster.environment,
            job='queue = "shut"',
            arguments=lambda submission: lsf_submit.arguments(submission, lsf_submit.Dialect(unit="MB")),
            bulk=bulk,
            poll=lambda identity: ["bjobs", *ALL_OF_CAF, *form.options(form.fields)],
            clear=cluster.clear,
        )


SITES: dict[str, Callable[[Path], AbstractContextManager[BenchSite]]] = {
    "slurm": _slurm,
    "htcondor": _htcondor,
    "lsf": _lsf,
}

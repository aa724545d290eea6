"""The stand-in's one daemon: `mbatchd.py FOLDER FLAVOUR` keeps the queue, runs its jobs, and misbehaves as it is told.

Who sends "control" instead of a client's arguments sets faults and does what hosts and administrators do.
"""

import asyncio
import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from tests.clusters.lsf.submitting import Misread, Request, read_ibm, read_relative
from tests.clusters.lsf.words import FIELDS, VERSION, Job, as_fields, as_json, as_table, at_length, with_reasons

QUEUES = {"normal": "Open:Active", "8nm": "Open:Active", "shut": "Open:Inact", "closed": "Closed:Active"}
SLOTS = 24
TERMINATE_INTERVAL = 2.0  # s between INT, TERM and KILL
USAGE = {"ibm": "Usage:  bjobs [options]", "volclava": "Usage: bjobs [-h] [-V] [-w |-l |-UF]"}
GARBAGE = "\x00\x1b[31m{{\nlsf_bjobs: internal <table> 0x7f"


class Said(Exception):
    """What a client says on standard error, with its exit status."""

    def __init__(self, err: str, code: int = 255, out: str = "", number: int = 0) -> None:
        super().__init__(err)
        self.told = {"out": out, "err": err + "\n" if err else "", "code": code, "signal": number}


class Hang(Exception):
    """The client says this, and then nothing ever."""


class Mbatchd:
    def __init__(self, folder: Path, flavour: str) -> None:
        self.folder, self.flavour = folder, flavour
        self.jobs: list[Job] = []
        self.last = 100
        self.faults: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.settings = {"clean_period": 3600.0, "minute": 60.0, "ids": 1e9}
        self.dice = random.Random(7)
        self.down_until = 0.0
        self.left: set[asyncio.Task[None]] = set()

    # What clients ask.

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            line = await reader.readline()
            if line:
                asked = json.loads(line)
                try:
                    told = self.control(asked["control"]) if "control" in asked else await self.answer(asked)
                except Said as said:
                    told = said.told
                except Hang:
                    await reader.read()  # until the client is gone
                    return
                writer.write(json.dumps(told).encode() + b"\n")
                await writer.drain()
        writer.close()

    def falls(self, fault: str) -> bool:
        """Tell whether a fault strikes now."""
        strikes = self.dice.random() < self.faults.get(fault, 0.0)
        self.counts[fault] = self.counts.get(fault, 0) + strikes
        return strikes

    async def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        program, *words = asked["argv"]
        if time.time() < self.down_until:
            raise Said("LSF is down. Please wait ...", 255) if self.dice.random() < 0.5 else Hang
        if self.falls("hang"):
            raise Hang
        calls: dict[str, Callable[[], str]] = {
            "bsub": lambda: self.bsub(words, asked["env"]),
            "bjobs": lambda: self.bjobs(words),
            "bhist": lambda: self.bhist(words),
            "bkill": lambda: self.bkill(words),
            "lsid": lambda: f"{VERSION[self.flavour]}\n\nMy cluster name is stand_in\nMy master name is front\n",
            "bqueues": self.bqueues,
        }
        return {"out": calls[program](), "err": "", "code": 0}

    def bqueues(self) -> str:
        rows = [
            f"{name:<15s} 30  {state:<14s}  -    -    -    -     0     0     0     0" for name, state in QUEUES.items()
        ]
        return "\n".join(["QUEUE_NAME      PRIO STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN  SUSP", *rows, ""])

    def bsub(self, words: list[str], env: dict[str, str]) -> str:
        if self.falls("refused before"):
            raise Said("Request aborted by esub. Job not submitted.")
        try:
            request = (read_ibm if self.flavour in {"ibm", "lsf9"} else read_relative)(words)
        except Misread as error:
            raise Said(str(error)) from None
        options = request.options
        queue = options.get("q", "normal")
        if queue not in QUEUES:
            raise Said(f"{queue}: No such queue. Job not submitted.")
        if QUEUES[queue].startswith("Closed"):
            raise Said(f"{queue}: Queue has been closed. Job not submitted.")
        if not request.command:
            raise Said("No command is specified. Job not submitted.")
        if int(options.get("n", "1")) > 1000:
            raise Said("Too many processors requested. Job not submitted.")
        job = self.accept(request, queue, env)
        if self.falls("taken twice"):
            self.accept(request, queue, env)
        if self.falls("answer lost"):
            raise Hang if self.dice.random() < 0.5 else Said("", 255)
        kind = "queue" if "q" in options else "default queue"
        return f"Job is submitted to <default> project.\nJob <{job.number}> is submitted to {kind} <{queue}>.\n"

    def accept(self, request: Request, queue: str, env: dict[str, str]) -> Job:
        options = request.options
        self.last = self.last % int(self.settings["ids"]) + 1
        while any(job.number == self.last and not self.forgotten(job) for job in self.jobs):
            self.last += 1
        job = Job(
            self.last,
            options.get("J", request.command),
            queue,
            request.command,
            env,
            options,
            group=options.get("G", ""),
            slots=int(options.get("n", "1")),
        )
        if "H" in options:
            job.stat, job.why = "PSUSP", "The job was suspended by the user while pending"
        if QUEUES[queue].endswith("Inact"):
            job.why = "The queue is inactivated by the administrator"
        job.visible_at = time.time() + (self.dice.uniform(0.2, 2.0) if self.falls("late visibility") else 0.0)
        self.note(job, f"Submitted from host <front>, to Queue <{queue}>, CWD </>, Output File <{options.get('o')}>;")
        self.jobs.append(job)
        return job

    def forgotten(self, job: Job) -> bool:
        return time.time() >= job.forgotten_at

    def note(self, job: Job, event: str) -> None:
        job.events.append((time.time(), event))

    def selected(self, words: list[str]) -> list[Job]:
        """Give the jobs that a bjobs with these arguments shows; Said if none are."""
        chosen = {word: words[words.index(word) + 1] for word in ("-J", "-u", "-G", "-o") if word in words}
        ids = [word for word in words if word.isdecimal()]
        name = chosen.get("-J", "*")
        pattern = re.compile(".*".join(map(re.escape, name.split("*"))))
        now, found = time.time(), []
        for job in self.jobs:
            if self.forgotten(job) or now < job.visible_at or not pattern.fullmatch(job.name):
                continue
            if ids and str(job.number) not in ids:
                continue
            if not ids and "-a" not in words and job.over:
                continue
            if "-r" in words and job.stat not in {"RUN", "SSUSP", "USUSP"}:
                continue
            if "-p" in words and job.stat not in {"PEND", "PSUSP"}:
                continue
            if "-u" not in words and not ids and job.user != "calib":
                continue
            if "-G" in chosen and job.group != chosen["-G"]:
                continue
            if chosen.get("-u", "all") != "all" and job.group != chosen["-u"]:
                continue
            found.append(job)
        if self.falls("row left out"):
            found = [job for job in found if self.dice.random() < 0.7]
        if self.falls("row twice"):
            found += found[:3]
        return found

    def bjobs(self, words: list[str]) -> str:
        if self.falls("hiccup"):
            raise Said("", 0)
        if self.falls("garbage"):
            raise Said("", 0, GARBAGE)
        relative = self.flavour in {"volclava", "openlava"}
        known = {"-a", "-J", "-u", "-r", "-s", "-p", "-w", "-l"} | (set() if relative else {"-G", "-noheader"})
        known |= {"-o"} if self.flavour != "openlava" else set()
        known |= {"-json"} if self.flavour in {"ibm", "volclava"} else set()
        for word in words:
            if word.startswith("-") and word not in known:
                raise Said(f"bjobs: invalid option -- '{word[1]}'\n{USAGE.get(self.flavour, USAGE['volclava'])}")
        jobs = self.selected(words)
        warning = "warning: lsf.conf line 7: unknown parameter\n" if self.falls("warnings") else ""
        if "-o" in words:
            return warning + self.in_fields(words, jobs)
        if not jobs:
            name = words[words.index("-J") + 1] if "-J" in words else None
            ids = [word for word in words if word.isdecimal()]
            missing = [f"Job <{each}> is not found" for each in ids or ([name] if name else [])]
            raise Said("\n".join(missing) or ("No job found" if "-a" in words else "No unfinished job found"))
        if "-l" in words:
            return at_length(jobs, status=True)
        return warning + (with_reasons(jobs) if "-p" in words else as_table(jobs))

    def in_fields(self, words: list[str], jobs: list[Job]) -> str:
        asked = words[words.index("-o") + 1].split()
        delimiter = next((word.split("'")[1] for word in asked if word.startswith("delimiter=")), " ")
        fields = [word for word in asked if not word.startswith("delimiter=")]
        for name in asked if self.flavour == "volclava" else fields:
            if jobs and name not in FIELDS[self.flavour]:
                if self.falls("crash at a field"):
                    raise Said("", 139, '{"COMMAND":', 11)
                raise Said(f"<{name.upper()}> in the format string is not a valid field name.", 99)
        if "-json" in words:
            # Where there is nothing, some say so in no other way.
            raise Said("", 0 if jobs else 255, as_json(jobs, fields, self.flavour))
        if not jobs:
            raise Said("No job found")
        return as_fields(jobs, fields, delimiter, self.flavour)

    def bhist(self, words: list[str]) -> str:
        if self.falls("bhist fails"):
            raise Said("lsb.events: No such file or directory")
        ids = [word for at, word in enumerate(words) if word.isdecimal() and words[at - 1] != "-n"]
        name = words[words.index("-J") + 1] if "-J" in words else None
        jobs = [job for job in self.jobs if (str(job.number) in ids if ids else job.name == name)]
        if not jobs:
            raise Said("", 255, "No matching job found\n")
        return at_length(jobs, status=False)

    def bkill(self, words: list[str]) -> str:
        told = []
        for word in words:
            jobs = [job for job in self.jobs if str(job.number) == word and not self.forgotten(job)]
            if not jobs:
                told.append(f"Job <{word}>: No matching job found")
            elif jobs[-1].over:
                told.append(f"Job <{word}>: Job has already finished")
            else:
                told.append(f"Job <{word}> is being terminated")
                if not self.falls("kill not heeded") and jobs[-1].shown != "UNKWN":
                    self.kill(jobs[-1])
        if all("is being terminated" in line for line in told):
            return "\n".join(told) + "\n"
        raise Said("\n".join(line for line in told if "terminated" not in line))

    # What hosts do.

    def kill(self, job: Job, term: str = "TERM_OWNER", first: int = signal.SIGINT) -> None:
        self.note(job, "Signal <KILL> requested by user or administrator <calib>;")
        job.term = term
        if job.stat in {"PEND", "PSUSP"}:
            self.ended(job, 130)
        else:
            self.later(self._kill(job, first))

    async def _kill(self, job: Job, first: int) -> None:
        for number in (first, signal.SIGTERM, signal.SIGKILL):
            if job.pid is None or job.over:
                return
            with suppress(ProcessLookupError):
                os.killpg(job.pid, number)
            await asyncio.sleep(TERMINATE_INTERVAL)

    def later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self.left.add(task)
        task.add_done_callback(self.left.discard)

    async def schedule(self) -> None:
        while True:
            free = SLOTS - sum(job.slots for job in self.jobs if job.stat == "RUN")
            for job in self.jobs:
                if job.stat != "PEND" or QUEUES[job.queue] != "Open:Active":
                    continue
                if job.slots > SLOTS:
                    job.why = "There are no suitable hosts for the job"
                elif job.slots <= free:
                    free -= job.slots
                    job.stat = "RUN"
                    self.later(self.run(job))
            await asyncio.sleep(0.02)

    async def run(self, job: Job) -> None:
        job.lives += 1
        own = {"LSB_JOBID": str(job.number), "LSB_JOBNAME": job.name, "LSB_QUEUE": job.queue}
        with output(job) as file:
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", job.command),
                env=job.env | own,
                cwd="/",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        job.pid = process.pid
        self.note(job, "Dispatched to <node1>;")
        self.note(job, f"Starting (Pid {job.pid});")
        if self.falls("unknown for a while"):
            job.unknown_until = time.time() + self.dice.uniform(0.5, 3.0)
        limit = float(job.options["W"]) * self.settings["minute"] if job.options.get("W") else None
        try:
            code = await asyncio.wait_for(process.wait(), limit)
        except TimeoutError:
            self.kill(job, "TERM_RUNLIMIT", signal.SIGUSR2)
            code = await process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if job.lives == 1 and self.falls("requeued by itself"):
            self.note(job, "Pending: Job has been requeued;")
            job.stat, job.pid = "PEND", None
            return
        self.ended(job, code if code >= 0 else 128 - code)

    def ended(self, job: Job, code: int) -> None:
        job.stat, job.code, job.pid = ("EXIT", code, None) if code else ("DONE", 0, None)
        if not code:
            job.term = ""
            self.note(job, "Done successfully. The CPU time used is 0.1 seconds;")
        else:
            self.note(job, f"Exited with exit code {code}. The CPU time used is 0.1 seconds;")
            if job.term and self.flavour in {"ibm", "lsf9"}:
                self.note(job, f"Completed <exit>; {job.term}: job killed;")
        job.forgotten_at = time.time() + (0.0 if self.falls("forgotten soon") else self.settings["clean_period"])

    # What tests do.

    def control(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.faults |= asked.get("faults", {})
        self.settings |= asked.get("settings", {})
        if "down" in asked:
            self.down_until = time.time() + asked["down"]
        if "unknown" in asked:
            for job in self.jobs:
                job.unknown_until = time.time() + asked["unknown"]
        if "term" in asked:
            for job in [job for job in self.jobs if not job.over]:
                self.kill(job, asked["term"], signal.SIGKILL)
        if "other" in asked:  # somebody else's job
            job = Job(9000 + len(self.jobs), "mine", "normal", "sleep", {}, {}, user="ann", **asked["other"])
            self.jobs.append(job)
        for name in asked.get("waiting", ()):  # very many at once, in a queue that starts nothing
            self.accept(Request({"J": name}, "true"), "shut", {})
        if asked.get("clear"):
            self.jobs = [job for job in self.jobs if job.user != "ann"]
            for job in [job for job in self.jobs if not job.over]:
                self.kill(job, first=signal.SIGKILL)
            self.faults.clear()
            self.down_until = 0.0
        told = [[job.number, job.name, job.stat, job.options, job.lives] for job in self.jobs]
        return {"jobs": told, "counts": self.counts}


def output(job: Job) -> IO[bytes]:
    """Open where a job's output goes; where that cannot be written, it is lost."""
    out = job.options.get("o", "/dev/null")
    return open(out if os.path.isdir(os.path.dirname(out)) else "/dev/null", "ab")


async def main(folder: Path, flavour: str) -> None:
    daemon = Mbatchd(folder, flavour)
    server = await asyncio.start_unix_server(daemon.serve, str(folder / "mbatchd.socket"), limit=1 << 20)
    print("up", flush=True)
    asyncio.get_running_loop().add_reader(0, os._exit, 0)  # whoever wanted it is gone
    async with server:
        await daemon.schedule()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))

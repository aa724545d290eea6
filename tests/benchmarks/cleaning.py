"""What cleaning costs: weighing beside `find -printf`, removing beside `rm -rf`, in turn on the same disk.

    python -m tests.benchmarks.cleaning --files 1000000 [--folder DIR]

As everywhere: processor time (user and system) of the program and its children, and the wall's; ratios, medians.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from caf.storage.removal import remove_area
from caf.storage.weighing import weigh_tree
from caf.storage.work import mark_work

IN_ONE = 200  # files in a folder
DATABASE = "0123abcd"
OWNER = {"database_id": DATABASE, "job_id": 1, "run": 490001, "job": "Fit", "attempt": 1}


def main() -> None:
    """Measure, and print a table."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--files", type=int, default=200_000)
    given.add_argument("--times", type=int, default=3)
    given.add_argument("--folder", type=Path)
    options = given.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        work = Path(folder) / "work"
        mark_work(str(work), DATABASE, 1)
        _weigh(work, options.files, options.times)
        _remove(work, options.files, options.times)


def _weigh(work: Path, files: int, times: int) -> None:
    area = _make(work / "490001_Fit" / "1", files)
    listed = work / "listed"
    found = [(_listing(area, listed), _cost(lambda: weigh_tree(str(area)))) for _ in range(times)]
    listed.unlink()
    _say(f"{files} files weighed", "find -printf", found)


def _listing(area: Path, into: Path) -> tuple[float, float]:
    with into.open("wb") as out:
        command = ["find", str(area), "-printf", "%s %b %n\n"]
        return _cost(lambda: subprocess.run(command, stdout=out, check=True))


def _remove(work: Path, files: int, times: int) -> None:
    """In turn, so that neither always finds what the other has warmed up."""
    area, found = work / "490001_Fit" / "1", []
    for turn in range(times):
        costs: dict[bool, tuple[float, float]] = {}
        for ours in (False, True) if turn % 2 else (True, False):
            _make(area, 0 if area.exists() else files)
            os.sync()
            costs[ours] = _cost((lambda: _remove_ours(work)) if ours else (lambda: _remove_theirs(area)))
        found.append((costs[False], costs[True]))
        print(f"turn {turn + 1}: rm -rf {costs[False][0]:.2f} s, caf {costs[True][0]:.2f} s", flush=True)
    _say(f"{files} files removed", "rm -rf", found)


def _remove_ours(work: Path) -> None:
    request = {**OWNER, "work": str(work), "generation": 1}
    while not remove_area(request, 2.0)["done"]:
        pass


def _remove_theirs(area: Path) -> None:
    subprocess.run(["rm", "-rf", str(area)], check=True)


def _make(area: Path, files: int) -> Path:
    for first in range(0, files, IN_ONE):
        folder = area / f"d{first // IN_ONE}"
        folder.mkdir(parents=True)
        opened = os.open(folder, os.O_RDONLY)
        for number in range(first, min(first + IN_ONE, files)):
            os.close(os.open(f"event_{number:08d}.root", os.O_CREAT | os.O_WRONLY, dir_fd=opened))
        os.close(opened)
    (area / "job.json").write_text(json.dumps(OWNER))
    return area


def _cost(work: Callable[[], object]) -> tuple[float, float]:
    """Give wall time and processor time (s)."""
    before, began = _processor(), time.perf_counter()
    work()
    return time.perf_counter() - began, _processor() - before


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _say(what: str, theirs: str, found: list[tuple[tuple[float, float], tuple[float, float]]]) -> None:
    for place, kind in enumerate(("wall", "processor")):
        them = statistics.median(pair[0][place] for pair in found)
        us = statistics.median(pair[1][place] for pair in found)
        ratio = statistics.median(pair[1][place] / pair[0][place] for pair in found)
        print(f"{what}, {kind} time: {theirs} {them:.2f} s, caf {us:.2f} s: {ratio:.2f} x", flush=True)


if __name__ == "__main__":
    main()

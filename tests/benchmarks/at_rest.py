"""What the supervisor costs when there is nothing to do: `caf run` itself, with everything in it and jobs long done."""

import signal
import subprocess
import sys
import time
from pathlib import Path

READY = 30.0  # s that it may take to be up
SETTLED = 5.0  # s after which its first rounds are over


def family(pid: int) -> dict[int, str]:
    """Give a process and its children, each with what it is."""
    found = {pid: "supervisor"}
    for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found[int(number)] = "file child"
    return found


def spent(pid: int) -> float:
    """Give the seconds of processor time of all threads of a process."""
    return sum(int((task / "schedstat").read_text().split()[0]) / 1e9 for task in Path(f"/proc/{pid}/task").iterdir())


def memory(pid: int) -> tuple[float, float]:
    """Give the resident memory of a process in MB, and its share of it: what others use too is split between them."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.endswith("kB")}
    return sizes["Rss"], sizes["Pss"]


def at_rest(config: Path, seconds: float) -> None:
    """Start the supervisor, leave it alone for a while, and print what it took meanwhile."""
    out = config.with_name("rest.log")
    with out.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "caf", "run", "--config", str(config)], stdout=file, stderr=subprocess.STDOUT
        )
    try:
        end = time.monotonic() + READY
        while b"supervisor.ready" not in out.read_bytes() and time.monotonic() < end and process.poll() is None:
            time.sleep(0.05)
        time.sleep(SETTLED)
        before = {pid: spent(pid) for pid in family(process.pid)}
        time.sleep(seconds)
        processes = family(process.pid)
        share = sum(spent(pid) - before.get(pid, 0.0) for pid in processes) / seconds
        sizes = {pid: memory(pid) for pid in processes}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    each = ", ".join(f"{what} {sizes[pid][0]:.0f}" for pid, what in processes.items())
    print(
        f"at rest: {100 * share:.3f} % of a core over {seconds:g} s; "
        f"{sum(size for _, size in sizes.values()):.0f} MB of memory in all "
        f"(resident, shared parts counted each time: {each})",
        flush=True,
    )

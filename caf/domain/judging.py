"""Whether an attempt that is over was a success, and why not in one line."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caf.domain.jobs import Result


@dataclass(frozen=True, slots=True)
class Success:
    """What a job's configuration calls success, besides what the records say."""

    exit_code: int = 0
    log: str = "log/stdout"
    log_has: Sequence[str] = ()
    log_lacks: Sequence[str] = ()
    outputs: Sequence[str] = ()


def signal_name(code: int) -> str | None:
    """Give the signal that a shell's exit code may stand for, such as KILL for 137."""
    try:
        return signal.Signals(code - 128).name.removeprefix("SIG") if code > 128 else None
    except ValueError:
        return None


def judge_end(
    success: Success, exit_code: int | None, hint: tuple[Result, str] | None, found: Mapping[str, Any]
) -> tuple[Result, str]:
    """Judge an attempt by its exit code, what could not be copied, its log and its outputs, in this order.

    `hint` is what is known otherwise (the batch system's word, a time limit); `found` is what was seen in the area:
    copy (which could not be brought back, and why), missing_log, log_lacks, log_holds, missing, empty, tail, and
    out_of_memory: what in the log speaks of memory.
    """
    tail = _told(found)
    if hint is not None and (exit_code is None or exit_code != success.exit_code):
        return hint[0], hint[1] + tail
    if exit_code is None:
        return Result.NODE, "its exit record never came" + tail
    if exit_code != success.exit_code:
        name = signal_name(exit_code)
        if name == "XCPU":  # sent by the kernel and by batch systems at the end of the processor time
            return (
                Result.WALLTIME,
                f"exit code {exit_code}, as after signal XCPU: its processor time was used up" + tail,
            )
        if name is not None:
            return Result.SIGNAL, f"exit code {exit_code}, as after signal {name}" + tail
        meaning = {126: " (the command is not executable)", 127: " (the command was not found)"}.get(exit_code, "")
        return Result.EXIT_CODE, f"exit code {exit_code}{meaning}" + tail
    if found.get("copy"):  # before the log, which may be what was to be copied
        return Result.OUTPUTS, f"not brought back: {found['copy']}" + tail
    if (success.log_has or success.log_lacks) and found.get("missing_log"):
        return Result.LOG, f"exit code {exit_code}, but there is no {success.log}"
    if found.get("log_lacks"):
        return Result.LOG, f"{success.log} lacks {_quoted(found['log_lacks'])}" + tail
    if found.get("log_holds"):
        return Result.LOG, f"{success.log} holds {_quoted(found['log_holds'])}" + tail
    if found.get("missing"):
        return Result.OUTPUTS, f"no output {', '.join(found['missing'])}" + tail
    if found.get("empty"):
        return Result.OUTPUTS, f"empty output {', '.join(found['empty'])}" + tail
    return Result.OK, "good"


def judge_check(exit_code: int | None, limit: str, last: str) -> tuple[Result, str]:
    """Judge an attempt by how its check command ended, None if it did not within `limit`; `last` is its last line."""
    if exit_code == 0:
        return Result.OK, "good" + (f", says its check: {last}" if last else "")
    told = f"; it says: {last}" if last else ""
    if exit_code is None:
        return Result.CHECK, f"its check did not end within {limit}" + told
    meaning = {126: " (the command is not executable)", 127: " (the command was not found)"}.get(exit_code, "")
    how = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}{meaning}"
    return Result.CHECK, f"its check ended with {how}" + told


def _told(found: Mapping[str, Any]) -> str:
    """Give what the log tells, on one line. That it speaks of memory is worth telling, and proves nothing."""
    tail = " / ".join(str(found.get("tail") or "").splitlines())
    text = f"; the log ends: {tail}" if tail else ""
    memory = found.get("out_of_memory")
    return text + (f"; perhaps for want of memory: {memory}" if memory and memory not in tail else "")


def _quoted(texts: Sequence[str]) -> str:
    return ", ".join(f"'{text}'" for text in texts)


def retry_delay(retry_after: float, tries: int) -> float:
    """Give the seconds to wait before attempt `tries` + 1 after the infrastructure broke `tries` of them."""
    return float(retry_after * 2 ** min(max(tries - 1, 0), 10))


def grown(asked: float | None, limit: float | None) -> float | None:
    """Give what the next attempt asks for after one that had too little: twice as much, up to the limit.

    None: as before. Without a limit nothing grows.
    """
    if asked is None or limit is None or asked >= limit:
        return None
    return min(2 * asked, limit)

"""What runs as `xrdfs` in front of the real one: see tape.py. Arguments: the state's file, then those of xrdfs.

The answers' forms are those of EOS with CTA (mgm/QueryPrepareResponse.hh); flags are XProtocol.hh's.
"""

import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

OFFLINE, ON_TAPE = 8, 128


def main() -> None:
    path = Path(sys.argv[1])
    _, word, *rest = sys.argv[2:]
    state = json.loads(path.read_text())
    _misbehave(state["faults"].get(word))
    if word == "prepare":
        with path.open("r+") as file:  # several may run at once
            fcntl.flock(file, fcntl.LOCK_EX)
            _prepare(path, rest[1:])
    elif word == "query" and rest[0] == "prepare":
        _query(state, rest[1], rest[2:])
    elif word == "stat":
        _stat(state, rest[0])
    else:
        os.execv(state["real"], ["xrdfs", *sys.argv[2:]])


def _misbehave(fault: str | None) -> None:
    if fault == "hang":
        time.sleep(3600)
    elif fault == "garbage":
        print("\x1b[2J<html>503 \0 Flags: many\nMTime: soon")
        sys.exit(0)
    elif fault == "flood":
        while True:
            sys.stdout.write("x" * 65536)
    elif fault == "refuse":
        _fail(3010, "User cannot prepare; permission denied")
    elif fault == "forget":
        _fail(3000, "Prepare requestid owned by an unknown server")


def _fail(number: int, text: str) -> None:
    sys.stderr.write(f"[ERROR] Server responded with an error: [{number}] {text}\0\n\n")
    sys.exit(54)


def _prepare(file: Path, paths: Sequence[str]) -> None:
    state = json.loads(file.read_text())
    name = f"*:1a2b.{len(state['asked']):x}:1795388345"
    state["asked"].append(list(paths))
    state["requested"].update({path: name for path in paths if path not in state["errors"]})
    file.write_text(json.dumps(state))
    print(name)


def _query(state: dict[str, Any], name: str, paths: Sequence[str]) -> None:
    responses = [
        {
            "path": path,
            "path_exists": True,
            "on_tape": True,
            "online": path not in state["offline"],
            "requested": path in state["requested"],
            "has_reqid": state["requested"].get(path) == name,
            "req_time": "1795388345",
            "error_text": state["errors"].get(path, ""),
        }
        for path in paths
    ]
    print(json.dumps({"request_id": name, "responses": responses}, separators=(",", ":")))


def _stat(state: dict[str, Any], path: str) -> None:
    done = subprocess.run([state["real"], *sys.argv[2:]], capture_output=True, text=True, timeout=60)
    out = done.stdout
    if path in state["offline"]:
        out = re.sub(
            r"Flags:  (\d+) \(", lambda m: f"Flags:  {int(m[1]) | OFFLINE | ON_TAPE} (Offline|BackUpExists|", out
        )
    sys.stdout.write(out)
    sys.stderr.write(done.stderr)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()

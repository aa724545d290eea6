"""A tape behind a server: a stand-in for xrdfs that answers what has to do with tape, and passes on all else."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("tape_xrdfs.py")
NOTHING: dict[str, Any] = {"offline": [], "requested": {}, "asked": [], "errors": {}, "faults": {}}


class Tape:
    """Says which files are on tape only. `faults` has for a word of xrdfs (stat, prepare, query, ls) what it does
    instead: hang, garbage, refuse, flood, or forget (a request is not known any more)."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = shutil.which("xrdfs")
        assert real is not None
        self._state = folder / "tape.json"
        folder.mkdir()
        self._write({**NOTHING, "real": real})
        program = folder / "xrdfs"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{PROGRAM}" "{self._state}" "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def offline(self, *paths: str) -> None:
        """Have these files on tape only from now on."""
        self._set("offline", [*self.state["offline"], *paths])

    def bring_back(self, *paths: str) -> None:
        """Have files on disk again (all, if none are named), and no request for them any more."""
        gone = paths or self.state["offline"]
        self._set("offline", [path for path in self.state["offline"] if path not in gone])
        self._set("requested", {path: name for path, name in self.state["requested"].items() if path not in gone})

    def fault(self, **faults: str) -> None:
        self._set("faults", faults)

    def fails_with(self, path: str, text: str) -> None:
        """Have the recall of a file fail: it is not asked for any more, and the storage says why."""
        self._set("errors", {**self.state["errors"], path: text})
        self._set("requested", {one: name for one, name in self.state["requested"].items() if one != path})

    @property
    def asked(self) -> list[list[str]]:
        """The paths of each request that was made, in order."""
        asked: list[list[str]] = self.state["asked"]
        return asked

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self._state.read_text())
        return state

    def _set(self, name: str, value: Any) -> None:
        self._write({**self.state, name: value})

    def _write(self, state: dict[str, Any]) -> None:
        self._state.write_text(json.dumps(state))

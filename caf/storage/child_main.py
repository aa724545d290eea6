"""The file child's own side: does what may hang, one call after the other, as JSON lines on its standard streams.

Started by caf.storage.child with one argument, a JSON object that gives each call's name its "module:function". It
imports as little as it can, and a function's module only when it is first called. It ends at the end of its input,
that is, with its supervisor.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, BinaryIO


def main() -> None:
    """Answer {"id", "call", "args"} with {"id", "result"} or {"id", "error": {"type", "message", "transient"}}."""
    _find_caf()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # meant for the supervisor, who may still need an answer while it ends
    os.umask(0o007)
    requests, answers = _take_streams()
    functions = Functions(json.loads(sys.argv[1]))
    for line in requests:
        request = json.loads(line)
        answers.write(_encode({"id": request["id"], **functions.answer(request)}))
        answers.flush()


def _find_caf() -> None:
    """Let `import caf` find the caf that this file belongs to; where it is installed it is on the path already."""
    folder = os.path.abspath(__file__)
    for _ in ("child_main.py", "storage", "caf"):
        folder = os.path.dirname(folder)
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep the streams of the protocol for it alone: what a library prints goes to the standard error."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return requests, answers


def _encode(answer: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(answer)
    except (TypeError, ValueError) as error:
        text = json.dumps({"id": answer["id"], **failure(error)})
    return text.encode("ascii") + b"\n"


class Functions:
    """The calls by name, each imported when it is first wanted."""

    def __init__(self, calls: dict[str, str]) -> None:
        self._calls = calls
        self._known: dict[str, Callable[..., Any]] = {"many": self.many}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do one call; `args` is a list, or an object of keyword arguments. Whatever it raises is an answer too."""
        try:
            function, args = self._find(request["call"]), request["args"]
            return {"result": function(**args) if isinstance(args, dict) else function(*args)}
        except Exception as error:  # the child serves on, whatever one call did
            return failure(error)

    def many(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Do several calls; each has its own result or error."""
        return [self.answer(call) for call in calls]

    def _find(self, name: str) -> Callable[..., Any]:
        if name not in self._known:
            module, _, function = self._calls[name].partition(":")
            self._known[name] = getattr(import_module(module), function)
        return self._known[name]


def failure(error: Exception) -> dict[str, Any]:
    """Tell an error by the name of its kind in caf.domain.errors; any other is a fault of the program."""
    from caf.domain.errors import CafError

    if isinstance(error, CafError):
        kind, message = type(error).__name__, str(error)
    else:
        frame = error.__traceback__
        while frame and frame.tb_next:
            frame = frame.tb_next
        where = f"{os.path.basename(frame.tb_frame.f_code.co_filename)}:{frame.tb_lineno}" if frame else "file child"
        kind, message = "StorageError", f"fault in caf at {where}: {type(error).__name__}: {error}"
    message = message.encode("utf-8", "backslashreplace").decode("utf-8")  # it may name a file whose name is not text
    return {"error": {"type": kind, "message": message, "transient": bool(getattr(error, "transient", False))}}


if __name__ == "__main__":
    main()

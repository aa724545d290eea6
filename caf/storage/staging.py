"""Files on tape, behind XRootD (EOS with CTA, dCache): asked for, and asked after.

EOS answers a request with its name even if it refuses some of the files; what is wrong with one stands in the answer
to the question after it (`error_text`), and then it is not `requested` any more. A file that is asked for twice is
recalled once.
"""

import time
from collections.abc import Sequence
from typing import Any

from caf.domain.errors import CafError
from caf.storage.xrootd import AT_ONCE, Complaint, prepare, query_prepare, split


def recall(requests: Sequence[tuple[str | None, list[str]]], seconds: float) -> list[dict[str, Any]]:
    """See to the recall of several jobs' files, for about so long; gives the answers of the first ones that it did.

    Each is the name of an earlier request, or None, and the URLs of the files that are still on tape. Each answer has
    `recall`, the request's name now (None: nothing could be asked for), and `why`, what is wrong, if anything.
    """
    end = time.monotonic() + seconds
    answers: list[dict[str, Any]] = []
    for request, urls in requests:
        try:
            answers.append(_recall(request, urls))
        except CafError as error:
            answers.append({"recall": request, "why": str(error)})
        if time.monotonic() >= end:
            break
    return answers


def _recall(request: str | None, urls: Sequence[str]) -> dict[str, Any]:
    server = split(urls[0])[0]
    paths = [split(url)[1] for url in urls]
    if request is None:
        return {"recall": _ask(server, paths), "why": None}
    wanted, why = _not_under_way(server, request, paths)
    return {"recall": _ask(server, wanted) if wanted else request, "why": why}


def _ask(server: str, paths: Sequence[str]) -> str:
    """Ask for files, and give the name of the request, or the names."""
    names = [prepare(server, paths[first : first + AT_ONCE]) for first in range(0, len(paths), AT_ONCE)]
    return " ".join(names)


def _not_under_way(server: str, request: str, paths: Sequence[str]) -> tuple[list[str], str | None]:
    """Give the files that must be asked for again, and what the storage complains of."""
    names = request.split()
    wanted: list[str] = []
    troubles: list[str] = []
    for number, first in enumerate(range(0, len(paths), AT_ONCE)):
        some = paths[first : first + AT_ONCE]
        try:
            # A file may have come back since, so that it need not stand in the request of the same place any more.
            answers = query_prepare(server, names[min(number, len(names) - 1)], some)
        except Complaint as error:
            if error.number is None:
                raise
            wanted += some  # the server does not know the request
            troubles.append(str(error))
            continue
        for path in some:
            state = answers.get(path)
            if state is None or not (state.requested or state.online):
                wanted.append(path)
            if state is not None and state.error:
                troubles.append(f"{path}: {state.error}")
    return wanted, "; ".join(dict.fromkeys(troubles))[:500] or None

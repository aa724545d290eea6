"""Whether the archive still holds all of an area, looked at right before that is removed: it may be the last copy.

An area was compared with its archive file by file when it was archived. Since then somebody may have removed the
archive, or put something into the area.
"""

import os
from typing import Any

from caf.domain.errors import StorageError
from caf.storage.archive import MANIFEST, manifest_of, place_of, same
from caf.storage.archive_place import Steps
from caf.storage.archive_survey import survey
from caf.storage.below import opened_folder
from caf.storage.failures import readable
from caf.storage.work import check_mark


def archive_lacks(request: dict[str, Any]) -> str | None:
    """Say what of an attempt's area its archive does not hold as it is now; None if it holds all, or there is no area.

    The request is that of archiving, with `work` and without exclude: what was left out then is known from the
    manifest. StorageError, transient where the archive, or the area, cannot be looked at now.
    """
    if not os.path.lexists(request["area"]):  # somebody was quicker, unless it is only away
        with opened_folder(request["work"]) as top:
            check_mark(top, request["work"], request["owner"]["database_id"])
        return None
    place = place_of(request)
    manifest = manifest_of(_done(place.read(MANIFEST)), place, request["owner"])
    if manifest is None:
        if not os.path.isdir(request["root"]) and str(request["url"]).startswith("/"):
            error = StorageError(f"archive {request['root']} is not there: is its file system mounted?")
            error.transient = True
            raise error
        return f"{place} is not there any more"
    if not same(manifest, request["area"], found := survey(request["area"], manifest["excluded"])):
        known = {one["name"] for one in manifest["files"]}
        new = sorted(set(found.files) - known)
        return f"{readable(new[0]) if new else 'what is in it'} was written after it was archived"
    for one in manifest["files"]:
        name = one.get("as", one["name"])
        size = _done(place.size(name))
        if size != one["size"]:
            _done(place.remove(MANIFEST))  # it is not true any more, and would be believed
            which = readable(f"{place}/{name}")
            return f"{which} is not there any more" if size is None else f"{which} has another size now"
    return None


def _done(steps: Steps[Any]) -> Any:
    """Do steps to their end."""
    try:
        while True:
            next(steps)
    except StopIteration as over:
        return over.value

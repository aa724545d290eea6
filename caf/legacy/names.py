"""Names that listeners, jobs and tags may have."""

import re

from caf.domain.runs import ATTRIBUTES
from caf.legacy.values import word_set

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}", re.ASCII)

TAG = re.compile(r"#([A-Z][A-Z0-9_]*)#")
RUN_TAGS = {"#RUN_NUMBER#": "{run}", "#RUN_NUMBER_PADDED#": "{run:07d}", "#RUN_NUMBER_PADDED_8#": "{run:08d}"}

TAGS_TODAY = word_set(
    "RUN RUN_NUMBER RUN_NUMBER_PADDED RUN_NUMBER_PADDED_8 JOB_CONFIGURATION JOB_CONFIGURATION_LOCAL "
    "DAEMON_JO_TEMPLATE_DIR DAEMON_SCRIPTS_DIR DAEMON_BACKENDS_DIR JOBS_WORKING_DIR JOB_WORKING_DIR "
    "JOB_LOG_DIR JOB_ROOT_DIR JOB_POOL_DIR JOB_CONFIG_DIR JOB_POST_DIR CASTOR_DATA_DIR "
    "INPUT_STAGE_SVC_CLASS OUTPUT_STAGE_SVC_CLASS JOB_OPTIONS_NAME JOB_LOG_NAME RAW_DATA_SETS ATTEMPT "
    "LISTENER RAW_FILES_SH RAW_FILES_PY"
) | {name.upper() if name.startswith("run") else f"RUN_{name.upper()}" for name in ATTRIBUTES}
"""Tags that every template has a value for; ATLAS_RELEASE and its like come from the job's own `tags`."""


def usable(name: str) -> tuple[str, bool]:
    """Give a name as listeners.toml can have it, and whether it had to be changed for that."""
    if _NAME.fullmatch(name):
        return name, False
    changed = re.sub(r"[^A-Za-z0-9_]", "_", name)[:40]
    if not changed or not changed[0].isalpha():
        changed = f"x{changed}"[:40]
    return changed, True


def unknown_tags(text: str, own: frozenset[str]) -> list[tuple[int, str]]:
    """Give line and name of each tag of a template that nothing has a value for."""
    known = TAGS_TODAY | own
    if "ATLAS_RELEASE" in own:
        known |= {"ATLAS_RELEASE_NOCACHE"}
    return [(text.count("\n", 0, match.start()) + 1, match[1]) for match in TAG.finditer(text) if match[1] not in known]

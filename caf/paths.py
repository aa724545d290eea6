"""Where things are, found cheaply: a change of state on the command line must not read the whole configuration.

Only `[caf] state`, `[caf] work` and `[batch] slots` are looked at here, as far as they are what they should be; what
is wrong with the rest of the file is for caf.config to say.
"""

import re
import tomllib
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from caf.domain.errors import ConfigError

DEFAULT_CONFIG = Path("listeners.toml")
DATABASE = "caf.db"
LOCK = "caf.lock"
HEARTBEAT = "heartbeat"

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|[smhdw])", re.ASCII)
_STATE_WAY_OUT = "name the state folder with --state DIR or $CAF_STATE"
_WORK_WAY_OUT = (
    "name another with --config FILE: where the working areas are stands in its [caf] work, and nowhere else"
)


def state_folder(config: Path, given: Path | None = None) -> Path:
    """Give the folder of database and lock: the one named, else `[caf] state` of the file. ConfigError if neither."""
    return given if given is not None else _folder(config, "state", _STATE_WAY_OUT)


def work_folder(config: Path) -> Path:
    """Give the folder of the working areas, `[caf] work`. ConfigError if the file cannot be read."""
    return _folder(config, "work", _WORK_WAY_OUT)


def area(work: Path, run: int, job: str, attempt: int) -> Path:
    """Give the working area of one attempt."""
    return work / f"{run}_{job}" / str(attempt)


def log_file(config: Path) -> Path | None:
    """Give the log's file, `[caf] log`; None if there is none. ConfigError if the file cannot be read."""
    value = _table(_read(config, "see the journal: journalctl -u caf"), "caf").get("log")
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        return None
    return config.absolute().parent / value


def slots(config: Path) -> int | None:
    """Give `[batch] slots`; None where the file does not say (then it is the number of cores)."""
    given = _table(_read(config, _STATE_WAY_OUT), "batch").get("slots")
    return given if isinstance(given, int) and not isinstance(given, bool) else None


def job_names(config: Path, also: str) -> set[str]:
    """Give the names of the jobs in the file, as far as it can be read, and in the text of another configuration."""
    return _names("jobs", config, also)


def listener_names(config: Path, also: str) -> set[str]:
    """Give the names of the listeners in the file, as far as it can be read, and in another configuration's text."""
    return _names("listeners", config, also)


def unknown_after(text: str, otherwise: float = 4 * 3600.0) -> float:
    """Give `[caf] unknown_after` in seconds, from the text of a configuration that was in force."""
    try:
        found = _DURATION.fullmatch(str(_table(tomllib.loads(text), "caf").get("unknown_after", "")).strip())
    except (ValueError, RecursionError):
        return otherwise
    return float(found[1]) * _UNITS[found[2]] if found else otherwise


@lru_cache(maxsize=2)
def expected(text: str) -> tuple[tuple[str, float], ...]:
    """Give the listeners of which a good calibration is expected every so often (s), from a configuration's text."""
    if "expect_every" not in text:  # reading a long file as TOML takes milliseconds
        return ()
    try:
        tables = _table(tomllib.loads(text), "listeners")
    except (ValueError, RecursionError):
        return ()
    found = []
    for name, table in tables.items():
        given = table.get("expect_every") if isinstance(table, dict) and table.get("enabled", True) is True else None
        if (match := _DURATION.fullmatch(str(given or "").strip())) is not None:
            found.append((name, float(match[1]) * _UNITS[match[2]]))
    return tuple(found)


def _folder(config: Path, key: str, way_out: str) -> Path:
    value = _table(_read(config, way_out), "caf").get(key, key)
    if not isinstance(value, str) or not value.strip() or "\0" in value or value.startswith("~"):
        raise ConfigError(f"{config}: caf.{key} must be the path of a folder in quotes; correct it, or {way_out}")
    # What is relative is so to the file, wherever the command is typed.
    return config.absolute().parent / value


def _names(table: str, config: Path, also: str) -> set[str]:
    names: set[str] = set()
    with suppress(ConfigError):
        names |= _table(_read(config, _STATE_WAY_OUT), table).keys()
    with suppress(ValueError, RecursionError):
        names |= _table(tomllib.loads(also), table).keys()
    return names


def _table(document: dict[str, Any], name: str) -> dict[str, Any]:
    table = document.get(name, {})
    return table if isinstance(table, dict) else {}


def _read(config: Path, way_out: str) -> dict[str, Any]:
    try:
        # As caf.config reads it: some editors begin a file with a byte-order mark.
        return tomllib.loads(config.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{config}: not there; give --config FILE or $CAF_CONFIG, or {way_out}") from None
    except OSError as error:
        raise ConfigError(f"{config}: cannot be read: {error.strerror or error}; mend that, or {way_out}") from None
    except (ValueError, RecursionError) as error:
        # tomllib says where; UnicodeDecodeError is a ValueError too.
        raise ConfigError(f"{config}: is not TOML: {error}; `caf check` says more; mend it, or {way_out}") from None

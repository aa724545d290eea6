"""Durations and sizes as operators write them: a number and a unit."""

import re

SECOND, MINUTE, HOUR, DAY = 1.0, 60.0, 3600.0, 86_400.0
_DURATIONS = {"ms": 0.001, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_LONGEST = 36_500 * DAY

_SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15}
_SIZES |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40, "PIB": 2**50}
_LARGEST = 2**63 - 1  # what an integer of SQLite and of most batch systems can hold

_NUMBER_AND_UNIT = re.compile(r"([0-9]+)(?:\.([0-9]+))?\s*([A-Za-z]*)", re.ASCII)


def read_duration(given: object) -> float:
    """Read "200ms", "90s", "15m", "8h", "7d" or "2w" as seconds. ValueError says what is wrong."""
    whole, fraction, unit = _split(given, 'a duration in quotes such as "90s", "15m", "8h" or "7d"', "s", "m", "h")
    if unit not in _DURATIONS:
        raise ValueError(f"has the unknown unit '{unit}': write ms, s, m, h, d or w")
    seconds = float(f"{whole}.{fraction}") * _DURATIONS[unit]
    if seconds > _LONGEST:
        raise ValueError("must be at most 100 years (36500d)")
    return seconds


def read_size(given: object) -> int:
    """Read "500MB" or "2GiB" as bytes. ValueError says what is wrong."""
    whole, fraction, unit = _split(given, 'a size in quotes such as "500MB" or "2GB"', "MB", "GB", "TB")
    factor = _SIZES.get(unit.upper())
    if factor is None:
        raise ValueError(f"has the unknown unit '{unit}': write B, KB, MB, GB, TB, PB, or KiB, MiB, GiB, TiB, PiB")
    if len(whole) > len(str(_LARGEST)):
        raise ValueError("is too large")
    size: int = int(whole) * factor + int(fraction or 0) * factor // int("1" + "0" * len(fraction))
    if size > _LARGEST:
        raise ValueError("is too large")
    if size == 0:
        raise ValueError("must be more than nothing")
    return size


def _split(given: object, what: str, *units: str) -> tuple[str, str, str]:
    """Take a number and its unit apart; `units` are those to suggest where there is none."""
    if isinstance(given, int | float) and not isinstance(given, bool):
        raise ValueError(_without_unit(given, units))
    found = _NUMBER_AND_UNIT.fullmatch(given.strip()) if isinstance(given, str) else None
    if found is None or len(found[2] or "") > 18:
        raise ValueError(f"must be {what}")
    if not found[3]:
        raise ValueError(_without_unit(found[0], units))
    return found[1], found[2] or "", found[3]


def _without_unit(number: object, units: tuple[str, ...]) -> str:
    choices = [f'"{number}{unit}"' for unit in units]
    return f"must have a unit: write {', '.join(choices[:-1])} or {choices[-1]}"


def duration_text(seconds: float) -> str:
    """Give a duration as listeners.toml has it, in the largest unit that keeps it whole: 1209600 is "14d"."""
    for unit, size in (("d", DAY), ("h", HOUR), ("m", MINUTE)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"

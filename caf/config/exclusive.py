"""The proof that no two listeners take the same run, as lines for people."""

import json
from collections.abc import Mapping

from caf.config.lines import Lines
from caf.config.load import Configuration
from caf.domain.overlap import can_match, overlaps
from caf.domain.runs import Value, to_json


def check_exclusive(configuration: Configuration) -> tuple[list[str], list[str]]:
    """Compare all enabled listeners. Gives errors and warnings, one line each, in the file's order.

    A pair that only overlaps if one text holds two different words is a warning, and so is a listener that can never
    match.
    """
    lines, kinds = Lines(configuration.text), configuration.kinds()
    listeners = configuration.listeners_in_force()
    errors: list[str] = []
    warnings: list[str] = []
    for overlap in overlaps(listeners, kinds):
        where = f"{configuration.path.name}:{lines.of(('listeners', overlap.first))}"
        pair = f"listeners.{overlap.first} and listeners.{overlap.second}"
        run = shown(overlap.witness)
        if overlap.certain:
            errors.append(f"{where}: {pair} overlap: both would take a run with {run}")
        else:
            warnings.append(f"{where}: {pair} overlap if one text can hold two words: both would take a run with {run}")
    for listener in listeners:
        if not can_match(listener, kinds):
            line = lines.of(("listeners", listener.name))
            warnings.append(
                f"{configuration.path.name}:{line}: listeners.{listener.name} can never take a run: "
                "its conditions contradict each other"
            )
    return errors, warnings


def shown(witness: Mapping[str, Value]) -> str:
    """Give a witness as `run_type="cismono", recorded=true`; a value that was never recorded as null."""
    values = (f"{name}={json.dumps(to_json(name, value), ensure_ascii=False)}" for name, value in witness.items())
    return ", ".join(values) or "any values"

"""`caf init`: an annotated configuration and templates to start from."""

import os
from pathlib import Path
from typing import Annotated

import typer

from caf.cli.options import UnusedConfig, UnusedState
from caf.cli.text import counted
from caf.domain.errors import Refused, StorageError
from caf.shipped import shipped

IN_CHECKOUT, IN_FOLDER = 'templates = "deploy/templates"', 'templates = "templates"'


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", show_default=False, help="Where to; made if need be.")],
    config: UnusedConfig = None,
    state: UnusedState = None,
) -> None:
    """Write a configuration to start from.

    An annotated listeners.toml and templates; nothing is overwritten.

    Example: caf init /home/l1calo/caf
    """
    configuration, templates = shipped("listeners.toml"), shipped("templates")
    if not (configuration.is_file() and templates.is_dir()):
        raise StorageError(f"{configuration} or {templates}, which belong to caf, are missing: install caf again")
    text = configuration.read_text(encoding="utf-8").replace(IN_CHECKOUT, IN_FOLDER)
    wanted = {directory / "listeners.toml": text.encode()}
    for template in sorted(templates.iterdir()):
        if template.is_file():
            wanted[directory / "templates" / template.name] = template.read_bytes()
    there = [path for path in wanted if os.path.lexists(path)]
    if there:
        raise Refused(f"{there[0]} is there already, and nothing is overwritten: name another folder")
    for path, data in wanted.items():
        _write(path, data)
    print(f"{directory}: listeners.toml, and {counted(len(wanted) - 1, 'template')} in templates/")
    print("Next: say in [source] where the run database is, and look through listeners and jobs; then")
    print(f"  caf check --config {directory / 'listeners.toml'}")
    print(f"  caf run --config {directory / 'listeners.toml'}")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as file:  # never over what appeared since
        file.write(data)
    if data.startswith(b"#!"):
        path.chmod(path.stat().st_mode | 0o110)

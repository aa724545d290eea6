"""`caf init`: an annotated configuration and templates to start from."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caf.cli.options import UnusedConfig, UnusedState
from caf.cli.text import counted, harmless
from caf.domain.errors import Refused, StorageError
from caf.shipped import shipped

if TYPE_CHECKING:
    from caf.legacy.translation import Translated

IN_CHECKOUT, IN_FOLDER = 'templates = "deploy/templates"', 'templates = "templates"'


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", show_default=False, help="Where to; made if need be.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Translate the old RunsProviderConfig.py, or settings.py of 2016."),
    ] = None,
    jobs: Annotated[
        Path | None, typer.Option("--jobs", metavar="FILE", help="With --from: the old JobOrganizerConfig.py.")
    ] = None,
    old_templates: Annotated[
        Path | None,
        typer.Option("--templates", metavar="DIR", help="With --from: where the old templates are, at any depth."),
    ] = None,
    config: UnusedConfig = None,
    state: UnusedState = None,
) -> None:
    """Write a configuration to start from.

    An annotated listeners.toml and templates; nothing is overwritten. With --from that of the system before caf is
    translated, without running anything of it.

    Example: caf init /home/l1calo/caf
    """
    if source is None and (jobs is not None or old_templates is not None):
        raise typer.BadParameter("--jobs and --templates go with --from FILE")
    configuration, templates = shipped("listeners.toml"), shipped("templates")
    if not (configuration.is_file() and templates.is_dir()):
        raise StorageError(f"{configuration} or {templates}, which belong to caf, are missing: install caf again")
    text = configuration.read_text(encoding="utf-8").replace(IN_CHECKOUT, IN_FOLDER)
    translated = None
    if source is None:
        files = {path.name: path.read_bytes() for path in sorted(templates.iterdir()) if path.is_file()}
    else:
        from caf.legacy.translation import translate  # only for this

        translated = translate(source, jobs, old_templates, (templates / "launcher.sh").read_bytes())
        text, files = translated.text, translated.templates
    wanted = {directory / "listeners.toml": text.encode()}
    wanted |= {directory / "templates" / name: data for name, data in files.items()}
    there = [path for path in wanted if os.path.lexists(path)]
    if there:
        raise Refused(f"{there[0]} is there already, and nothing is overwritten: name another folder")
    for path, data in wanted.items():
        _write(path, data)
    print(f"{directory}: listeners.toml, and {counted(len(wanted) - 1, 'template')} in templates/")
    if translated is not None:
        _tell(translated)
    print("Next: say in [source] where the run database is, and look through listeners and jobs; then")
    print(f"  caf check --config {directory / 'listeners.toml'}")
    print(f"  caf run --config {directory / 'listeners.toml'}")


def _tell(translated: "Translated") -> None:
    """Say what became of the old configuration, and what a person must look at."""
    listeners, jobs = counted(translated.listeners, "listener"), counted(translated.jobs, "job")
    print(f"Translated: {listeners}, {jobs}; each key has a comment on what it was.")
    if translated.problems:
        print("Not translated, or to be looked at (listeners.toml begins with the same list):")
        for problem in translated.problems:
            print(harmless(f"  {problem}"))
    if translated.overlaps:
        print("Two listeners must never take the same run, and caf does not start before this is mended:")
        for overlap in translated.overlaps:
            print(harmless(f"  {overlap}"))
    for warning in translated.warnings:
        print(harmless(f"  {warning}"))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as file:  # never over what appeared since
        file.write(data)
    if data.startswith(b"#!"):
        path.chmod(path.stat().st_mode | 0o110)

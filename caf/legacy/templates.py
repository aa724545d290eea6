"""The old templates: found in their folder, read for what jobs need, copied as they are."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from caf.domain.errors import ConfigError
from caf.legacy.jobs import LAUNCHER, Translation, file_of
from caf.legacy.modules import LARGEST, Module, read_text
from caf.legacy.names import unknown_tags
from caf.legacy.tables import Named
from caf.legacy.values import Problem

_MOST = 10_000  # files of the folder that are looked at


@dataclass(slots=True)
class Templates:
    """The files of the old templates' folder, wherever below it, and those that were taken from it."""

    folder: Path | None
    launcher: bytes
    found: dict[str, Path] = field(default_factory=dict)
    taken: dict[str, bytes] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @classmethod
    def below(cls, folder: Path | None, launcher: bytes) -> "Templates":
        """Look for files below a folder; `launcher` is what jobs without one of their own get."""
        templates = cls(folder, launcher)
        if folder is None:
            return templates
        if not folder.is_dir():
            raise ConfigError(f"{folder}: is no folder: name that of the old templates with --templates DIR")
        for place, folders, files in os.walk(folder):
            folders.sort()
            for name in sorted(files):
                if len(templates.found) < _MOST:
                    templates.found.setdefault(name, Path(place) / name)
        return templates

    def own_file(self, named: Named) -> Module | None:
        """Read the job's own Python file, if it is there."""
        given = file_of(named)
        candidates = [given, f"{given}.py"] if given else []
        candidates += [f"jcTpl_{named.name}.py", f"{named.name}.py"]
        for name in candidates:
            if name in self.found and name.endswith(".py"):
                return read_text(self._bytes(name).decode("utf-8", "replace"), name)
        wanted = given or f"jcTpl_{named.name}.py"
        where = f"is not below {self.folder}" if self.folder else "was not looked for: name its folder with --templates"
        line, file = named.table.line, named.table.file
        self.problems.append(Problem(file, line, f"job {named.name}: {wanted} {where}"))
        return None

    def take(self, job: Translation, own: Module | None, tags: frozenset[str]) -> None:
        """Copy what a job names, and list the tags in it that have no value today."""
        needs_own = False
        for name in job.templates:
            if name in self.found:
                data = self.taken.setdefault(name, self._bytes(name))
            elif name == LAUNCHER:
                data = self.taken.setdefault(name, self.launcher)
            else:
                job.refuse(job.table, None, f"its template {name} was not found: put it into templates/")
                continue
            text = data.decode("utf-8", "replace")
            needs_own = needs_own or "#JOB_CONFIGURATION_LOCAL#" in text
            self._tags(job, name, text, tags)
        first = self.taken.get(job.templates[0])
        if first is not None and not first.startswith(b"#!"):
            job.refuse(job.table, None, f"its launcher {job.templates[0]} cannot be run: it does not begin with #!")
        if needs_own and own is not None and f"{job.name}.py" not in job.templates:
            # The old launchers read the rendered configuration: #JOB_CONFIGURATION_LOCAL# is config/<job>.py.
            job.templates.append(f"{job.name}.py")
            self.taken.setdefault(f"{job.name}.py", own.text.encode())
            self._tags(job, own.file, own.text, tags)

    def _tags(self, job: Translation, name: str, text: str, tags: frozenset[str]) -> None:
        for line, tag in unknown_tags(text, tags):
            problem = Problem(name, line, f"the tag #{tag}# has no value: give it one in tags of jobs.{job.name}")
            if problem not in self.problems:
                self.problems.append(problem)

    def _bytes(self, name: str) -> bytes:
        path = self.found[name]
        try:
            if path.stat().st_size > LARGEST:
                raise ConfigError(f"{path}: is too large for a template")
            return path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None

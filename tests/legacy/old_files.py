"""The old system's files, as invented for these tests: kept as *.py.txt, for much of them is no Python of today."""

from pathlib import Path

from caf.legacy.translation import Translated, translate

DATA = Path(__file__).parent / "data"
LAUNCHER = b"#!/bin/sh\n# caf's own\n"


def lay_out(into: Path, **replaced: str) -> Path:
    """Write all of them into a folder under their real names, some words replaced."""
    for path in DATA.rglob("*"):
        if path.is_file():
            target = into / path.relative_to(DATA).with_name(path.name.removesuffix(".txt"))
            target.parent.mkdir(parents=True, exist_ok=True)
            text = path.read_text(encoding="utf-8")
            for word, other in replaced.items():
                text = text.replace(word, other)
            target.write_text(text, encoding="utf-8")
    return into


def translated(folder: Path, text: str, name: str = "RunsProviderConfig.py") -> Translated:
    """Translate the text of one old file."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return translate(folder / name, None, None, LAUNCHER)

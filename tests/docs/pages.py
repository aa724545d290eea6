"""Reading the project's Markdown pages: their headings, tables, code blocks and links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
DOCS = sorted((TOP / "docs").rglob("*.md"))
PAGES = [
    TOP / "README.md",
    *DOCS,
    *sorted(p for part in ("caf", "deploy", "tests") for p in (TOP / part).rglob("*.md")),
]

_HEADING = re.compile(r"(#{1,6}) +(.*)")
_FENCE = re.compile(r" *```(\w*)")
_LINK = re.compile(r"(?<!\\)!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(\s*([^)\s]+)[^)]*\)")
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code: its language, its lines."""

    language: str
    lines: tuple[str, ...]


class Page:
    """One page, taken apart."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = path.read_text(encoding="utf-8").splitlines()
        self.blocks: list[Block] = []
        self.text: list[tuple[str, str]] = []  # each line outside of code, with the heading that it stands under
        self.headings: list[str] = []
        heading, language = "", None
        code: list[str] = []
        for line in self.lines:
            if fence := _FENCE.match(line):
                if language is None:
                    language, code = fence[1], []
                else:
                    self.blocks.append(Block(language, tuple(code)))
                    language = None
            elif language is not None:
                code.append(line)
            elif found := _HEADING.fullmatch(line):
                heading = found[2]
                self.headings.append(heading)
            else:
                self.text.append((heading, line))
        assert language is None, f"{path}: a block of code has no end"

    def anchors(self) -> list[str]:
        """Give the headings' names in links: small letters, digits, _ and -; blanks become -."""
        return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in self.headings]

    def links(self) -> list[str]:
        """Give the targets of all links and pictures, also of those whose text goes over two lines."""
        return _LINK.findall("\n".join(_CODE.sub("``", line) for _, line in self.text))

    def code(self) -> Iterator[str]:
        """Give all text between single backticks."""
        for _, line in self.text:
            yield from _CODE.findall(line)

    def rows(self, heading: str) -> list[list[str]]:
        """Give the rows of the table under a heading, without its head."""
        lines = [line for under, line in self.text if under == heading and line.startswith("|")]
        assert len(lines) > 2, f"{self.path.name}: there is no table under {heading!r}"
        return [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in lines[2:]]

    def keys(self, heading: str) -> list[str]:
        """Give what stands in backticks in the first column of the table under a heading."""
        return [name for row in self.rows(heading) for name in _CODE.findall(row[0])]

"""Old Python text made fit to be parsed: the tags of templates, and the words of Python 2.

Only the text is changed, never its number of lines, so that a message names the line that a person finds.
"""

import ast
import re
from dataclasses import dataclass, field

from caf.legacy.values import Problem

TAG = re.compile(r"#[A-Z][A-Z0-9_]*#")
_MOST = 500  # mended lines; a file with more is something else
_LONG = re.compile(r"(?<![\w.'\"])(0[xX][0-9a-fA-F]+|\d+)[lL]\b")
_OCTAL = re.compile(r"(?<![\w.'\"])0(\d+)\b")
_PREFIX = re.compile(r"\b[uU][rR](?=['\"])")


@dataclass(slots=True)
class Mended:
    """The parsed text, None where that was hopeless; `torn`: what was left out may have been a part of something."""

    tree: ast.Module | None = None
    problems: list[Problem] = field(default_factory=list)
    torn: bool = False


def parse(text: str, file: str) -> Mended:
    """Parse the text of an old file, or of a template of one."""
    lines = quote_tags(text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", " ")).expandtabs().split("\n")
    mended = Mended()
    for _ in range(_MOST):
        try:
            mended.tree = ast.parse("\n".join(lines), file)
            return mended
        except SyntaxError as error:
            line = min(max(error.lineno or 1, 1), len(lines))
            why = error.msg
        except (ValueError, RecursionError, MemoryError) as error:
            mended.problems.append(Problem(file, 0, f"is no Python file: {error or type(error).__name__}"))
            return mended
        if not _mend(lines, line, mended, file):
            break
    mended.problems.append(Problem(file, line, f"is not Python ({why}): nothing could be read of this file"))
    return mended


def _mend(lines: list[str], line: int, mended: Mended, file: str) -> bool:
    """Write a line as Python 3 has it, or take it out; tell whether that changed anything."""
    given = lines[line - 1]
    modern = _PREFIX.sub("r", _OCTAL.sub(r"0o\1", _LONG.sub(r"\1", given)))
    if modern != given:
        lines[line - 1] = modern
        return True
    stripped = given.strip()
    if stripped in {"", "pass"}:
        return False
    opens = given.rstrip().endswith(("{", "[", "(", ":"))
    if opens and not stripped.startswith(("print", "exec", "raise", "except")):
        return False
    mended.problems.append(Problem(file, line, f"is not understood and left out: {stripped[:60]}"))
    indent = given[: len(given) - len(given.lstrip())]
    word = "pass" if re.match(r"(print|exec|raise)\b", stripped) else ""
    mended.torn = mended.torn or not (word or stripped.startswith("except"))
    lines[line - 1] = indent + ("except Exception:" if stripped.startswith("except") else word)
    return True


def quote_tags(text: str) -> str:
    """Write tags `#NAME#` that stand where a value is wanted as text: to Python they would begin a comment.

    Within text they stay as they are; one that stands where no value is wanted is a comment, and no loss.
    """
    parts: list[str] = []
    place, wanted = 0, False
    while place < len(text):
        if (literal := _LITERAL.match(text, place)) is not None:
            parts.append(literal[0])
            place, wanted = literal.end(), False
            continue
        character = text[place]
        if character == "#":
            tag = TAG.match(text, place)
            end = text.find("\n", place)
            comment = text[place : end if end >= 0 else len(text)]
            taken = tag[0] if tag and wanted else comment
            parts.append(f"'{taken}'" if tag and wanted else taken)
            place, wanted = place + len(taken), False if tag and wanted else wanted
            continue
        if character == "\n" and not wanted:
            wanted = False
        elif not character.isspace():
            wanted = character in "=([{,:+%"
        parts.append(character)
        place += 1
    return "".join(parts)


_LITERAL = re.compile(
    r"'''(?:[^\\]|\\.)*?'''|\"\"\"(?:[^\\]|\\.)*?\"\"\"|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"", re.DOTALL
)

"""Where in a script a quoted word may stand: not within quotes that are there already, nor in a here-document.

A value that brings its own quotes is safe only as a word of its own. Within other quotes its own would end those, and
what was meant as text would be run. So the script is followed from its beginning, as its interpreter would; where it
cannot be followed nothing counts as safe.
"""

import io
import re
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass, field

Spans = Iterable[tuple[int, int]]
_COMMENT_BEFORE = " \t\n;|&("
_OPENING = {"$((": "((", "$(": "(", "${": "${"}
_CLOSING = {"(": ")", "sum(": ")", "${": "}"}
_NO_WORDS = ("((", "sum(", "${")
_HERE = re.compile(r"<<(-?)[ \t]*(?:'([^'\n]+)'|\"([^\"\n]+)\"|([^\s'\"|&;<>()]+))")


def python_words(text: str, tags: Spans) -> set[int]:
    """Give where those of the tags (begin and end) stand that are a word of their own in Python."""
    spans = dict(tags)
    pieces, last = [], 0
    for begin, end in sorted(spans.items()):
        pieces += [text[last:begin], "T".ljust(end - begin, "_")]  # a name of the same length
        last = end
    named = "".join([*pieces, text[last:]])
    lines = [0]
    for line in named.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    words, within = set(), 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(named, newline="").readline):
            kind = tokenize.tok_name[token.type]
            within += {"FSTRING_START": 1, "FSTRING_END": -1}.get(kind, 0)  # from Python 3.12 on
            begin = lines[token.start[0] - 1] + token.start[1]
            if kind == "NAME" and not within and spans.get(begin) == begin + len(token.string):
                words.add(begin)
    except (tokenize.TokenError, SyntaxError, IndexError):
        return set()
    return words


def shell_words(text: str, tags: Spans) -> set[int]:
    """Give where those of the tags (begin and end) stand that are a word of their own in a shell script."""
    reader = _Shell(text, dict(tags))
    return reader.words if reader.read() else set()


@dataclass(slots=True)
class _Shell:
    """Follows a script character by character.

    `stack` holds what is open: a double quote, "(" of commands, "((" of a sum
    and "sum(" within it, "${" of an expansion.
    """

    text: str
    tags: dict[int, int]
    place: int = 0
    stack: list[str] = field(default_factory=list)
    here: list[tuple[str, bool, bool]] = field(default_factory=list)
    words: set[int] = field(default_factory=set)

    def read(self) -> bool:
        """Read all of it; False if it cannot be followed to its end."""
        while self.place < len(self.text):
            if self.place in self.tags:
                # After a dollar its quotes would mean something else, and a sum is reckoned whatever they say.
                outside = not self.stack or (self.stack[-1] == "(" and "((" not in self.stack)
                if outside and self.text[self.place - 1 : self.place] != "$":
                    self.words.add(self.place)
                self.place = self.tags[self.place]
            elif not self._step(self.text[self.place]):
                return False
        return not self.stack and not self.here

    def _step(self, character: str) -> bool:
        quoted = self._within('"')
        opening = next((sign for sign in _OPENING if self.text.startswith(sign, self.place)), None)
        if character == "`":
            return False  # within backquotes even backslashes are read twice
        if character == "\\":
            self.place += 2
        elif character == '"':
            self.stack.pop() if quoted else self.stack.append('"')
            self.place += 1
        elif opening is not None:
            self.stack.append(_OPENING[opening])
            self.place += len(opening)
        elif quoted:
            self.place += 1
        else:
            return self._plain(character)
        return True

    def _within(self, sign: str) -> bool:
        return bool(self.stack) and self.stack[-1] == sign

    def _plain(self, character: str) -> bool:
        """Go on from a character that stands outside double quotes."""
        text, place = self.text, self.place
        if character == "'":
            end = text.find("'", place + 1)
            # $'...' has escapes of its own, and within an expansion it depends on what is round it.
            if end < 0 or text[place - 1 : place] == "$" or "${" in self.stack:
                return False
            self.place = end + 1
        elif self.stack and self.stack[-1] in _NO_WORDS:
            self._brackets(character)
        elif character == "#" and (place == 0 or text[place - 1] in _COMMENT_BEFORE):
            if text[place - 2 : place] == "\\\n":  # in a line that goes on it may be no comment
                return False
            end = text.find("\n", place)
            self.place = len(text) if end < 0 else end
        elif text.startswith("<<<", place):
            self.place += 3
        elif text.startswith("<<", place):
            return self._document()
        elif character == "\n" and self.here:
            return self._skip_documents()
        else:
            self._brackets(character)
        return True

    def _brackets(self, character: str) -> None:
        """Open or close one; a closing bracket without its partner is that of a pattern of `case`."""
        top, size = self.stack[-1] if self.stack else "", 1
        if top == "((" and self.text.startswith("))", self.place):
            self.stack.pop()
            size = 2
        elif character == _CLOSING.get(top):
            self.stack.pop()
        elif character == "(" and top in ("((", "sum("):
            self.stack.append("sum(")
        elif character == "(":
            size = 2 if self.text.startswith("((", self.place) else 1
            self.stack.append("((" if size == 2 else "(")
        self.place += size

    def _document(self) -> bool:
        found = _HERE.match(self.text, self.place)
        if found is None:
            return False
        quoted = found[2] or found[3]
        self.here.append((quoted or found[4].replace("\\", ""), bool(found[1]), bool(quoted)))
        self.place = found.end()
        return True

    def _skip_documents(self) -> bool:
        """Pass over the here-documents that begin with this line; what stands in one is no word."""
        self.place += 1
        for delimiter, tabs, quoted in self.here:
            line = None
            while line != delimiter:
                if self.place >= len(self.text):
                    return False
                end = self.text.find("\n", self.place)
                end = len(self.text) if end < 0 else end
                line = self.text[self.place : end]
                if line.endswith("\\") and not quoted:  # its end may be hidden in a line that goes on
                    return False
                line = line.lstrip("\t") if tabs else line
                self.place = end + 1
        self.here.clear()
        return True

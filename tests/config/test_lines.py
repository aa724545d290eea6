"""The line finder against tomllib: every value of a text is a number that stands nowhere else in it."""

import re
import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caf.config.lines import Key, Lines


def leaves(value: object, key: Key = ()) -> Iterator[tuple[Key, int]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*key, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaves(inner, (*key, place))
    else:
        found = re.search(r"[1-9][0-9]{4}", str(value))
        assert found
        yield key, int(found[0])


def check(text: str) -> None:
    """Compare with the line on which the value's number stands; a key's value begins on the key's line."""
    lines = Lines(text)
    of_number = {
        int(number): place
        for place, line in enumerate(text.split("\n"), 1)
        for number in re.findall(r"[1-9][0-9]{4}", line)
    }
    found = list(leaves(tomllib.loads(text)))
    assert found
    assert {key: lines.of(key) for key, _ in found} == {key: of_number[number] for key, number in found}
    assert lines.duplicate is None


SHAPES = {
    "bare": "a = 10001\nb = 10002\n",
    "no end of line": "a = 10001",
    "comments": "# x = 1\n\na = 10001 # b = 2\n  # c\n\tb = 10002",
    "tables": "[a]\nx = 10001\n[b]\nx = 10002\n[a.c]\nx = 10003\n",
    "spaces in a header": "[ a . b ]  # c\n  x  =  10001\n",
    "sub-table first": "[a.b]\nx = 10001\n[a]\ny = 10002\n",
    "dotted": "a.b.c = 10001\na.b.d = 10002\na.e = 10003\n",
    "dotted in a table": "[t]\na.b = 10001\n\na.c = 10002\n",
    "quoted": '"a.b" = 10001\n\'c d\'.e = 10002\n["x]y"."#"]\n"=" = 10003\n',
    "escaped": '"a\\"b\\u00e9" = 10001\n"\\\\" = 10002\n',
    "array": "a = [10001, 10002,\n 10003, # ] \n\n 10004\n]\nb = 10005\n",
    "nested array": "a = [[10001,\n10002], [\n[10003], 10004]]\nb = 10005\n",
    "inline": "a = { b = 10001, c.d = 10002, 'e f' = [10003,\n10004] }\nb = 10005\n",
    "inline in array": "a = [\n{ b = 10001 },\n{ b = 10002, c = {} },\n]\nd = 10003\n",
    "empty": "a = []\nb = {}\nc = [ # x\n]\nd = 10001\n[e]\n[f]\ng = 10002",
    "arrays of tables": "[[a]]\nx = 10001\n[[a]]\nx = 10002\n[a.b]\ny = 10003\n[[a.c]]\nz = 10004\n[[a.c]]\nz = 10005\n[[a]]\n[[a.c]]\nz = 10006\n",  # noqa: E501 one text
    "strings": "a = \"10001 ' # = [\"\nb = '10002 \" \\'\nc = 10003\n",
    "long strings": 'a = """10001\nb = 2 \\""" [x]\n"""\nc = \'\'\'10002 \'\' "\n\n\'\'\'\nd = 10003\n',
    "long strings that end in quotes": "a = \"\"\"10001\"\"\"\"\"\nb = '''10002'''''\nc = 10003\n",
    "strings in arrays": 'a = ["10001, ]", \'10002\',\n"""10003\n\n""", 10004]\nb = 10005',
    "times": "a = 2015-06-03T10:00:00.010001Z\nb = [2015-06-03 10:00:00.010002,\n 10003]\n",
    "windows": "a = 10001\r\n[b]\r\n# c\r\nd = [\r\n10002,\r\n10003]\r\n",
    "numbers": "a = 10001.5\nb = [10002e0, +10003,\n-10004]\nc = '10005'",
}


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES.keys())
def test_every_value_is_found_on_its_line(text: str) -> None:
    check(text)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A text of tables whose keys hold nested values, spread over lines in many ways."""
    numbers = iter(range(10000, 99999))
    blank = st.sampled_from(["", " ", "\t", "\n", " # ] } = \" '\n", "\r\n  "])

    def value(depth: int, inline: bool) -> str:
        kind = draw(st.sampled_from(["number", "text", "long", "array", "table"] if depth else ["number", "text"]))
        number = next(numbers)

        def gap() -> str:
            return "" if inline else draw(blank)

        if kind == "array":
            items = [value(depth - 1, inline) for _ in range(draw(st.integers(1, 3)))]
            return "[" + "".join(f"{gap()}{item}{gap()}," for item in items) + gap() + "]"
        if kind == "table":
            items = [f"x{place}.{draw(names)} = {value(depth - 1, True)}" for place in range(draw(st.integers(1, 3)))]
            return "{ " + ", ".join(items) + " }"
        if kind == "long" and not inline:
            return draw(st.sampled_from(['"""{}\n[x]\ny = 1\\"\n"""', "'''{}\n\\\n'''"])).format(number)
        return draw(st.sampled_from(['"{} \\" #"', "'{} ]'"])).format(number) if kind == "text" else str(number)

    names = st.sampled_from(["a", "b-c", "d.e", '"f.g"', "'h = i'", "j . k"])
    text = ""
    for table in range(draw(st.integers(1, 4))):
        header = draw(st.sampled_from(["", "[t{}]\n", "[[u]]\n", "[ v{}.'w' ] # [x]\n"])).format(table)
        text += header if table or header else ""
        for key in range(draw(st.integers(1, 3))):
            comma = draw(st.sampled_from(["\n", "  # c\n", "\n\n", "\r\n"]))
            # `,` before a closing bracket is fine in an array; array elements may begin on a later line
            text += f"k{table}{key}{draw(st.sampled_from(['', '.x', '.y.z']))} = {value(2, False)}{comma}"
    return text


@settings(max_examples=300, deadline=None)
@given(documents())
def test_every_value_of_any_document_is_found_on_its_line(text: str) -> None:
    check(text)


def test_a_missing_key_is_looked_for_at_its_tables_header() -> None:
    text = "[a.b]\nx = 1\n\n[a]\ny = 1\n[[c]]\nz = 1\n[[c]]\nd.e = 2\n"
    lines = Lines(text)
    assert lines.of(("a", "missing")) == 4
    assert lines.of(("a", "b", "missing", "too")) == 1
    assert lines.of(("c", 0, "missing")) == 6
    assert lines.of(("c", 1, "missing")) == 8
    assert lines.of(("c", 1, "d", "missing")) == 9
    assert lines.of(("missing",)) == 1


@pytest.mark.parametrize(
    ("text", "duplicate"),
    [
        ("a = 1\nb = 2\na = 3\n", (("a",), 3, 1)),
        ("[a]\nx = 1\n[b]\n[a]\n", (("a",), 4, 1)),
        ("a.b = 1\n\na.b = 2", (("a", "b"), 3, 1)),
        ("a = { b = 1, b = 2 }", (("a", "b"), 1, 1)),
        ("[[a]]\nx = 1\n[[a]]\nx = 2\nx = 3", (("a", 1, "x"), 5, 4)),
    ],
)
def test_the_first_duplicate_is_remembered(text: str, duplicate: tuple[Key, int, int]) -> None:
    assert Lines(text).duplicate == duplicate


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet="ab.=[]{}\"'#,\n\\ 1", max_size=60))
def test_any_text_at_all_is_survived(text: str) -> None:
    """Texts that are no TOML are scanned as far as they go."""
    assert Lines(text).of(("a",)) >= 1

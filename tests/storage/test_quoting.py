"""What comes from outside stays text, in a shell script and in Python, wherever its tag stands."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caf.domain.errors import PreparationError
from caf.storage.quoting import python_words, shell_words
from caf.storage.templates import TAG, render

EVIL = ["$(touch hit)", "`touch hit`", "'; touch hit; '", '"; touch hit; "', "x\ntouch hit\n", "a' \"$(touch hit)\" 'b"]
EVIL_PY = [
    "\"); open('hit', 'w'); (\"",
    "'); open('hit', 'w'); ('",
    "{open('hit', 'w')}",
    "\nopen('hit', 'w')\n",
    "\\",
    '"""\nopen("hit", "w")\n"""',
]


def tag_places(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in TAG.finditer(text)]


@pytest.mark.parametrize("value", EVIL + EVIL_PY)
@pytest.mark.parametrize("name", ["launcher.sh", "options.py", "notes.txt"])
def test_a_value_that_a_program_may_act_on_is_refused_where_it_stands_bare(name: str, value: str) -> None:
    with pytest.raises(PreparationError, match=rf"{name}:2: #RUN_TYPE# is .*: write #"):
        render('\nx="#RUN_TYPE#"\n', {"RUN_TYPE": value}, name)


@pytest.mark.parametrize(
    "value", ["LarCalibL1Calo_cismono", "2023-11-14T22:13:20.000000Z", "0x7c", "", "true", "a+b@c,d:e"]
)
def test_a_value_that_nothing_acts_on_stands_as_it_is(value: str) -> None:
    assert render('x="#RUN_TYPE#"', {"RUN_TYPE": value}, "launcher.sh") == f'x="{value}"'


def test_what_the_configuration_says_is_trusted() -> None:
    assert (
        render("#PYTHON# #RUN_TYPE#", {"PYTHON": "$HOME/p y", "RUN_TYPE": "$X"}, "a.sh", own=["RUN_TYPE"])
        == "$HOME/p y $X"
    )


SHELL = {
    "word": "echo #SH:RUN_TYPE#",
    "assignment": "x=#SH:RUN_TYPE#; export x",
    "glued": "echo a#SH:RUN_TYPE#b",
    "in a command": 'echo "$(printf %s #SH:RUN_TYPE#)"',
    "after a comment": "# don't\necho #SH:RUN_TYPE#",
    "after a document": "cat <<EOF\nit's \"\nEOF\necho #SH:RUN_TYPE#",
    "after an indented one": "cat <<-'E O'\n\t`x\n\tE O\necho #SH:RUN_TYPE#",
    "after hashes": 'echo ${#PATH} $# a#b "#" #c\'\necho #SH:RUN_TYPE#',
    "after a case": "case $1 in\na|b) echo ;;\nesac\necho #SH:RUN_TYPE#",
    "after sums": 'x=$(( (1 << 2) + 3 )); (( x )) && ( echo ); echo "${x#"y"}" ${x%\\}}\necho #SH:RUN_TYPE#',
    "in an array": "x=(a #SH:RUN_TYPE#)",
    "after a here-string": "cat <<<'a b'\necho #SH:RUN_TYPE#",
}


@pytest.mark.parametrize("text", SHELL.values(), ids=SHELL)
@pytest.mark.parametrize("value", EVIL, ids=range(len(EVIL)))
def test_a_quoted_word_reaches_a_shell_as_it_is(text: str, value: str, tmp_path: Path) -> None:
    script = render(f"#!/bin/bash\n{text}\n", {"RUN_TYPE": value}, "launcher.sh")
    done = subprocess.run(["bash", "-c", script, "x", "b"], cwd=tmp_path, capture_output=True, text=True, timeout=20)
    assert not list(tmp_path.iterdir()), script
    assert done.stderr == ""
    assert value.strip("\n") in done.stdout or "echo" not in text.splitlines()[-1] or "x=" in text


NO_WORD_OF_SHELL = {
    "double": 'echo "#SH:RUN_TYPE#"',
    "single": "echo '#SH:RUN_TYPE#'",
    "over lines": 'echo "\n\n #SH:RUN_TYPE#"',
    "single over lines": "awk '\n{ print #SH:RUN_TYPE# }\n'",
    "document": "cat <<EOF\n#SH:RUN_TYPE#\nEOF",
    "quoted document": "cat <<'EOF'\n#SH:RUN_TYPE#\nEOF",
    "second document": "cat <<A - <<B\nA\n#SH:RUN_TYPE#\nB",
    "comment": "# #SH:RUN_TYPE#",
    "backquotes": "echo `printf %s #SH:RUN_TYPE#`",
    "dollar": "echo $#SH:RUN_TYPE#",
    "backslash": "echo \\#SH:RUN_TYPE#",
    "sum": "echo $(( 1 + #SH:RUN_TYPE# ))",
    "sum in a bracket": "(( (x) + (#SH:RUN_TYPE#) ))",
    "expansion without quotes": "echo ${x:#SH:RUN_TYPE#}",
    "expansion": 'echo "${x:-#SH:RUN_TYPE#}"',
    "never closed": "echo #SH:RUN_TYPE# 'x",
    "a document that goes on": "cat <<EOF\nx\\\nEOF\necho #SH:RUN_TYPE#\nEOF",
    "a word that goes on": "echo a\\\n#b'\necho #SH:RUN_TYPE# '",
    "no document": "cat <<\necho #SH:RUN_TYPE#",
}


@pytest.mark.parametrize("text", NO_WORD_OF_SHELL.values(), ids=NO_WORD_OF_SHELL)
def test_a_quoted_word_within_quotes_or_a_text_is_refused(text: str) -> None:
    with pytest.raises(PreparationError, match="it must be a word of its own"):
        render(text, {"RUN_TYPE": "x"}, "launcher.sh")


PYTHON = {
    "word": "x = #PY:RUN_TYPE#",
    "argument": "print('it', f(#PY:RUN_TYPE#), \"#RUN_NUMBER#\")",
    "list": "x = [\n    #PY:RUN_TYPE#,  # it's\n]",
    "old": "print 'x', #PY:RUN_TYPE#",
    "after hashes": "## x ##\nx = 'a#b'  #c\ny = #PY:RUN_TYPE#",
}
NO_WORD_OF_PYTHON = {
    "text": "x = '#PY:RUN_TYPE#'",
    "long text": 'x = """\n#PY:RUN_TYPE#\n"""',
    "format": 'x = f"{#PY:RUN_TYPE#}"',
    "comment": "# #PY:RUN_TYPE#",
    "glued": "x = a#PY:RUN_TYPE#",
    "not Python": "x = (\ny = #PY:RUN_TYPE#",
}


@pytest.mark.parametrize("text", PYTHON.values(), ids=PYTHON)
@pytest.mark.parametrize("value", EVIL_PY, ids=range(len(EVIL_PY)))
def test_a_quoted_word_is_a_text_in_python(text: str, value: str) -> None:
    script = render(text, {"RUN_TYPE": value, "RUN_NUMBER": "1"}, "options.py")
    assert ascii(value) in script
    if "print '" not in text:
        compile(script, "options.py", "exec")


@pytest.mark.parametrize("text", NO_WORD_OF_PYTHON.values(), ids=NO_WORD_OF_PYTHON)
def test_a_quoted_word_within_a_text_of_python_is_refused(text: str) -> None:
    with pytest.raises(PreparationError, match="it must be a word of its own"):
        render(text, {"RUN_TYPE": "x"}, "options.py")


def test_each_form_has_its_language() -> None:
    with pytest.raises(PreparationError, match=r"a\.py:1: #SH:RUN_TYPE# may stand in a shell script only"):
        render("#SH:RUN_TYPE#", {"RUN_TYPE": "x"}, "a.py")
    with pytest.raises(PreparationError, match=r"#PY:RUN_TYPE# may stand in a Python only|Python only"):
        render("#!/bin/sh\nx=#PY:RUN_TYPE#", {"RUN_TYPE": "x"}, "launcher")


def test_file_names_from_outside_cannot_be_acted_on_either() -> None:
    raw = ["/raw/$(touch hit).RAW"]
    tags = {
        "RAW_FILES_SH": "'/raw/$(touch hit).RAW'",
        "RAW_DATA_SETS": "x = ['/raw/$(touch hit).RAW']",
        "CASTOR_DATA_DIR": "/$x",
    }
    assert render("ls #RAW_FILES_SH#", tags, "a.sh", raw=raw) == "ls '/raw/$(touch hit).RAW'"
    assert render("#RAW_DATA_SETS#\n", tags, "a.py", raw=raw) == "x = ['/raw/$(touch hit).RAW']\n"
    for text in ('for f in "#RAW_FILES_SH#"', "cat <<EOF >options.py\n#RAW_DATA_SETS#\nEOF", "cd #CASTOR_DATA_DIR#"):
        with pytest.raises(PreparationError, match=r"a\.sh:[12]: #"):
            render(text, tags, "a.sh", raw=raw)
    # As long as they are harmless the old templates' ways go on.
    tags = {"RAW_FILES_SH": "/raw/a.RAW", "RAW_DATA_SETS": "x = ['/raw/a.RAW']"}
    for text in ('for f in "#RAW_FILES_SH#"', "cat <<EOF >options.py\n#RAW_DATA_SETS#\nEOF"):
        assert "/raw/a.RAW" in render(text, tags, "a.sh", raw=["/raw/a.RAW"])


PIECES = [
    "'",
    "<<E\n",
    "\nE\n",
    ";; ",
    "case x in a)",
    "\n",
    " ",
    "{ ",
    "((",
    "))",
    "$((",
    "$'",
    '$"',
    "<<<",
    "\\",
    '"',
]
PIECES += ["$(", ")", "#", "${", "}", "`", "esac", "x", ";}", "|", "&", "=", "(", "{"]


def runs_nothing(folder: Path, before: str, after: str, value: str) -> None:
    try:
        script = render(f"#!/bin/bash\n{before}#SH:RUN_TYPE#{after}\n", {"RUN_TYPE": value}, "launcher.sh")
    except PreparationError:
        return
    subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, timeout=20, env={"PATH": "/usr/bin:/bin"})
    assert not (folder / "hit").exists(), script


@settings(deadline=None, max_examples=150)
@given(st.lists(st.sampled_from(PIECES), max_size=12), st.sampled_from(EVIL))
def test_no_script_that_is_rendered_runs_a_value(
    tmp_path_factory: pytest.TempPathFactory, before: list[str], value: str
) -> None:
    """Whatever stands before the tag: it is refused, or the shell has the value as text."""
    folder = tmp_path_factory.getbasetemp() / "quoting"
    folder.mkdir(exist_ok=True)
    runs_nothing(folder, "".join(before), "", value)


@given(st.text(alphabet="'\"\\$`(){}<#;=xrf \n\t", max_size=40))
def test_any_text_can_be_followed_or_not(text: str) -> None:
    whole = f"{text}#SH:A#{text}"
    starts = {begin for begin, _ in tag_places(whole)}
    assert shell_words(whole, tag_places(whole)) <= starts
    assert python_words(whole, tag_places(whole)) <= starts


def test_the_interpreter_is_known_by_its_first_line_or_its_name() -> None:
    for first in ("#!/bin/sh", "#!/usr/bin/env bash", "#!/usr/bin/zsh -f", "#! /bin/dash"):
        with pytest.raises(PreparationError, match="write #SH:RUN_TYPE#,"):
            render(f"{first}\necho #RUN_TYPE#", {"RUN_TYPE": "a b"}, "launcher")
    for first in ("#!/usr/bin/env python3", "#!/usr/bin/athena.py"):
        with pytest.raises(PreparationError, match="write #PY:RUN_TYPE#,"):
            render(f"{first}\nx = #RUN_TYPE#", {"RUN_TYPE": "a b"}, "options")

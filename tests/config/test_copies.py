"""What `copy` and `after` may name: nothing leads out of the area, nothing takes the place of caf's own records."""

import json
from pathlib import Path

import pytest

from caf.config import JobTable, parse
from caf.config.copies import filled_in
from caf.domain.errors import ConfigError

REST = '[source]\nreplicas = ["x.db"]\n[listeners.A]\n[jobs.J]\nlisteners = ["A"]\ncommand = ["x"]\n'


def job(text: str) -> JobTable:
    return parse(REST + text, Path("/etc/caf/listeners.toml")).jobs["J"]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("Gains.pdf", "root/Gains_{run}.pdf"),
        ("-x", "-y"),
        ("a b", "c 'd\" $x `y` #"),
        ("plots/*.pdf", "root/plots/"),
        ("*", "root/"),
        ("[ab]?{run:08d}*", "pool/{job}/"),
        ("root/x", "root/"),
        ("log/stdout", "log/first"),
        ("exit", "root/exit"),
        ("x", "{job}.pdf"),
        ("x", "exits"),
        ("back\\slash", "root/back\\slash"),
    ],
)
def test_names_that_a_file_can_have_are_taken_as_they_are(source: str, target: str) -> None:
    assert job(f"copy = {{ {json.dumps(source)} = {json.dumps(target)} }}").copy_back == {source: target}


KEEPS = "but caf keeps a record of that name in the working area: give it another"


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ("'a' = 'exit'", f"copy.a: goes to 'exit', {KEEPS}"),
        ("'a' = './/exit'", f"copy.a: goes to './/exit', {KEEPS}"),
        ("'a' = 'claim/revoked'", f"copy.a: goes to 'claim/revoked', {KEEPS}"),
        ("'a/exit' = './'", f"copy.\"a/exit\": goes to './', {KEEPS}"),
        ("'a' = 'log/stdout'", f"copy.a: goes to 'log/stdout', {KEEPS}"),
        ("'a' = '{job}'", f"copy.a: goes to '{{job}}', {KEEPS}"),
        ("'a' = '{job}.json'", f"copy.a: goes to '{{job}}.json', {KEEPS}"),
        ("'a/*' = 'claim/'", f"copy.\"a/*\": goes to 'claim/', {KEEPS}"),
        ("'*' = './'", "copy.\"*\": is a pattern: write a folder such as 'root/' instead of './'"),
        ("'*.pdf' = 'root/x'", "copy.\"*.pdf\": is a pattern: write a folder such as 'root/' instead of 'root/x'"),
        ("'a*/b' = 'root/'", 'copy."a*/b": is a pattern: only its last part may be one, and without a backslash'),
        ("'a\\*' = 'root/'", 'copy."a\\\\*": is a pattern: only its last part may be one, and without a backslash'),
        ("'a' = 'root/*'", "copy.a: goes to 'root/*', but only what is copied may be a pattern"),
        ("'a' = 'root'", "copy.a: goes to 'root', which is a folder: write a name, or 'root/'"),
        ("'a' = '.'", "copy.a: goes to '.', which is a folder: write a name, or './'"),
        (
            "'a/' = 'root/a'",
            "copy.\"a/\": is a folder: files are copied; a pattern such as 'plots/*.pdf' means several",
        ),
        ("'a' = 'root/x', 'b' = 'root//x'", "copy.b: goes to 'root//x', and so does 'a'"),
        ("'a' = 'root/', 'b/a' = 'root/a'", "copy.\"b/a\": goes to 'root/a', and so does 'a'"),
        ("'a' = 'r/{run}', 'b' = 'r/{run:d}'", "copy.b: goes to 'r/{run:d}', and so does 'a'"),
        ("'a' = '../b'", "copy.a: must not contain '..': it stays inside the working area"),
        ("'../a' = 'b'", "copy.\"../a\": must not contain '..': it stays inside the working area"),
        ("'/a' = 'b'", "copy.\"/a\": must be a relative path inside the working area, not '/a'"),
        ('"a\\nb" = "c"', 'copy."a\\nb": must be one line without control characters'),
        ("'a' = '{runs}'", "copy.a: has {runs}: only {run}, {run:08d} or {job} may stand in braces"),
    ],
)
def test_names_that_would_do_harm_are_refused_with_the_line(entries: str, fault: str) -> None:
    with pytest.raises(ConfigError) as error:
        job(f"copy = {{ {entries} }}")
    assert str(error.value) == f"listeners.toml:7: jobs.J.{fault}"


def test_the_names_of_run_and_job_are_filled_in() -> None:
    copies = job("copy = { 'x_{run:08d}' = 'root/{job}_{run}' }").copy_back
    assert filled_in(copies, 490001, "J") == {"x_00490001": "root/J_490001"}


def test_after_scripts_are_lists_of_arguments_with_the_names_of_run_and_job() -> None:
    table = job('after = { done = [["config/a.sh", "{run:08d}", "{job} b"]], failed = [] }\nafter_timeout = "90s"')
    assert table.after.done == (("config/a.sh", "{run:08d}", "{job} b"),)
    assert table.after_timeout == 90
    for text, fault in (
        ("done = [[]]", "done[0]: must not be empty"),
        ('done = ["a b"]', "done[0]: must be a list, in [ ]"),
        ('failed = [["a", "{RUN}"]]', "failed[0][1]: has {RUN}: only {run}, {run:08d} or {job} may stand in braces"),
    ):
        with pytest.raises(ConfigError, match=r"listeners.toml:7: jobs.J.after.") as error:
            job(f"after = {{ {text} }}")
        assert fault in str(error.value)

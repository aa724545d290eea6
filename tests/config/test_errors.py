"""Whatever is wrong with listeners.toml is told in plain words, with the right line, and all at once."""

import re
from pathlib import Path

import pytest

from caf.config import load, parse
from caf.domain.errors import ConfigError

SOURCE = '[source]\nreplicas = ["cool/*.db"]\n'  # lines 1 and 2
JOB = '[jobs.J]\nlisteners = ["A"]\ncommand = ["true"]\n'
BOTH = SOURCE + "[listeners.A]\n" + JOB  # the listener's header is line 3, the job's 4
MATCH = SOURCE + "[listeners.A.match]\n"
TABLE = SOURCE + "[listeners.A]\n[jobs.J]\ncommand = ['x']\n"
NAME = "is not a usable name: a letter, then at most 39 letters, digits or _"
TIME = "must be a time such as 2015-06-03T10:00:00Z"
MASK = 'must be a mask of at most 128 bits: a whole number, or text such as "0x7c00000000"'
COMMAND = 'must not be empty: write the program and its arguments, such as ["config/launcher.sh"]'


def errors(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, Path("listeners.toml"))
    return str(caught.value).split("\n")


CASES = [
    # the text, the line, and the rest of the one error that it has
    *(
        (BOTH + given, line,
            f"jobs.J.{key}_limit: is how far {key} may grow: give {key} too, and no more than the limit")
        for given, line, key in (
            ("memory_limit = '4GB'", 7, "memory"),
            ("memory = '8GB'\nmemory_limit = '4GB'", 8, "memory"),
            ("walltime_limit = '1h'\nwalltime = '2h'", 7, "walltime"),
        )
    ),
    (BOTH + "memory = 'x'\nmemory_limit = '4GB'", 7,
        'jobs.J.memory: must be a size in quotes such as "500MB" or "2GB"'),
    (BOTH + "success = { check = [' '] }", 7,
        'jobs.J.success.check: must begin with a program, such as ["config/check.sh"]'),
    (BOTH + "success = { check_timeout = '0s' }", 7, "jobs.J.success.check_timeout: must be more than nothing"),
    ("", 1, "source: is missing"),
    ("source = 1", 1, "source: must be a table"),
    ("[source]\nkind = 'x'", 2, "source.kind: must be one of 'cool' or 'table'"),
    ("[source]\n\nkind = 1", 3, "source.kind: must be one of 'cool' or 'table'"),
    ("\n[source]", 2, "source.replicas: is missing"),
    ("[source]\nreplicas = []", 2, "source.replicas: must not be empty"),
    ("[source]\nreplicas = 'a.db'", 2, "source.replicas: must be a list, in [ ]"),
    ("[source]\nreplicas = [\n'a.db',\n7]", 4, "source.replicas[1]: must be text in quotes"),
    ("[source]\nkind = 'table'", 1, "source.path: is missing"),
    (
        "[source]\nkind = 'table'\npath = 'runs.csv'\ndatabase = 'COMP200'",
        4,
        'source.database: belongs to kind = "cool", but this source is of kind = "table"',
    ),
    (
        SOURCE + "path = 'runs.csv'",
        3,
        'source.path: belongs to kind = "table", but this source is of kind = "cool"',
    ),
    (SOURCE + "database = 'CONDBR3'", 3, "source.database: must be one of 'CONDBR2' or 'COMP200'"),
    (SOURCE + "first_run = -1", 3, "source.first_run: must be at least 0"),
    (SOURCE + "stale = '0s'", 3, "source.stale: must be more than nothing"),
    (SOURCE + "[source.attributes.x]\nfolder = '/A'", 3, "source.attributes.x.column: is missing"),
    (
        SOURCE + "attributes.x = { folder = '/A', column = 'x', channel = -1 }",
        3,
        "source.attributes.x.channel: must be between 0 and 4294967295",
    ),
    (
        SOURCE + "attributes.end = { folder = '/A', column = 'x' }",
        3,
        "source.attributes: 'end' is built in: give yours another name",
    ),
    (
        SOURCE + "attributes.x-y = { folder = '/A', column = 'x' }",
        3,
        "source.attributes: 'x-y' is not a usable name: small letters, digits and _, a letter first",
    ),
    # tables and keys
    (SOURCE + "[listener.A]", 3, "listener: is not a known table: did you mean 'listeners'?"),
    (SOURCE + "[caf]\n\nsettel = '1h'", 5, "caf.settel: is not a known key: did you mean 'settle'?"),
    (SOURCE + "[duties]\nxyz = 1", 4,
        "duties.xyz: is not a known key; known: clean, discover, housekeeping, organise, report, timeout"),
    (SOURCE + "caf = 1", 3, "source.caf: is not a known key; "
        "known: attributes, busy_timeout, database, first_run, kind, replicas, stale"),
    (SOURCE + "[mail]\nto = 'a@b'", 4, "mail.to: must be a list, in [ ]"),
    (SOURCE + "[mail]\nto = ['ab']", 4, "mail.to[0]: must be a mail address, such as l1calo-calib@example.org"),
    (SOURCE + "[mail]\nserver = 'x'\nto = ['a@b']", 4,
        'mail.server: must be the address of a mail server, such as "smtp://localhost:25"'),
    (SOURCE + "[mail]\nto = ['Ann <a@b>']", 4, "mail.to[0]: must be a mail address, such as l1calo-calib@example.org"),
    (SOURCE + "[mail]\nto = ['a@b, c@d']", 4, "mail.to[0]: must be a mail address, such as l1calo-calib@example.org"),
    (SOURCE + "[mail]\nserver = 'smtp://a:b@c:99999'\nto = ['a@b']", 4,
        'mail.server: must be the address of a mail server, such as "smtp://localhost:25"'),
    (SOURCE + "[mail]\nto = ['a@b']\nsummary = '7:00'", 5,
        'mail.summary: must be an hour and a minute of the day, such as "07:00"'),
    (SOURCE + "[credentials]\nevery = '8h'", 3, "credentials.renew: is missing"),
    (SOURCE + "[batch]\nslots = 0", 4, "batch.slots: must be at least 1"),
    (SOURCE + "[batch]\nkind = 'pbs'", 4, "batch.kind: must be one of 'local', 'slurm', 'htcondor' or 'lsf'"),
    (SOURCE + "[quota]\nlow = 90", 4, "quota.low: must be less than high, which is 85"),
    (SOURCE + "[quota]\nhigh = 101", 4, "quota.high: must be at most 100"),
    (SOURCE + "[quota]\nhigh = '85'", 4, "quota.high: must be a number"),
    (SOURCE + "[quota]\n\nprovider = 'tree'", 3,
        'quota.limit: is needed with provider = "tree": write the size that counts as full, such as "500GB"'),
    # durations, sizes, paths
    (SOURCE + "[caf]\nsettle = 24", 4, 'caf.settle: must have a unit: write "24s", "24m" or "24h"'),
    (SOURCE + "[caf]\nsettle = '24'", 4, 'caf.settle: must have a unit: write "24s", "24m" or "24h"'),
    (SOURCE + "[caf]\nsettle = '24x'", 4, "caf.settle: has the unknown unit 'x': write ms, s, m, h, d or w"),
    (SOURCE + "[caf]\nsettle = true", 4,
        'caf.settle: must be a duration in quotes such as "90s", "15m", "8h" or "7d"'),
    (SOURCE + "[caf]\nsettle = '99999d'", 4, "caf.settle: must be at most 100 years (36500d)"),
    (SOURCE + "[duties]\ndiscover = '0m'", 4, "duties.discover: must be more than nothing"),
    (SOURCE + "[quota]\nlimit = 500", 4, 'quota.limit: must have a unit: write "500MB", "500GB" or "500TB"'),
    (SOURCE + "[quota]\nlimit = '0GB'", 4, "quota.limit: must be more than nothing"),
    (SOURCE + "[quota]\nlimit = '9999999PB'", 4, "quota.limit: is too large"),
    (SOURCE + "[caf]\nwork = 3", 4, "caf.work: must be a path in quotes"),
    (SOURCE + "[caf]\nwork = ''", 4, "caf.work: must not be empty"),
    (SOURCE + "[caf]\nwork = '~/work'", 4, "caf.work: must not begin with ~: write the whole path"),
    (SOURCE + "[caf]\nmax_new_jobs = true", 4, "caf.max_new_jobs: must be a whole number"),
    (SOURCE + "[caf]\nmax_new_jobs = 1.5", 4, "caf.max_new_jobs: must be a whole number"),
    # listeners
    (SOURCE + "[listeners.1x]", 3, f"listeners.1x: {NAME}"),
    (SOURCE + f"[listeners.{'x' * 41}]", 3, f"listeners.{'x' * 41}: {NAME}"),
    (SOURCE + '[listeners."a b"]', 3, f'listeners."a b": {NAME}'),
    (SOURCE + "[listeners]\nA = 1", 4, "listeners.A: must be a table"),
    (SOURCE + "[listeners.A]\nmin_events = 'x'", 4, "listeners.A.min_events: must be a whole number"),
    (SOURCE + "[listeners.A]\nenabled = 1", 4, "listeners.A.enabled: must be true or false"),
    (SOURCE + "[listeners.A]\nraw = ['/a/{run}', '/b/{rum}']", 4,
        "listeners.A.raw[1]: has {rum}: only {run} or {run:08d} may stand in braces"),
    (SOURCE + "[listeners.A]\nraw = ['/a/{job}']", 4,
        "listeners.A.raw[0]: has {job}: only {run} or {run:08d} may stand in braces"),
    (SOURCE + "[listeners.A]\nraw = ['/a/{run']", 4,
        "listeners.A.raw[0]: has a brace without its partner: only {run} or {run:08d} may stand in braces"),
    (SOURCE + "[listeners.A]\nraw = ['/a/{run:x>99999999d}']", 4,
        "listeners.A.raw[0]: has {run:x>99999999d}: only {run} or {run:08d} may stand in braces"),
    (SOURCE + "[listeners.A]\nmatch = 1", 4, 'listeners.A.match: must be a table, such as { run_type = "cismono" }'),
    # conditions
    (MATCH + "run_typ = 'x'", 4, "listeners.A.match.run_typ: is not an attribute of runs: did you mean 'run_type'?"),
    (MATCH + "run_type = 1", 4, "listeners.A.match.run_type: must be text in quotes"),
    (MATCH + "run_type = []", 4, "listeners.A.match.run_type: must not be an empty list"),
    (MATCH + "run_type = ['a',\n'b',\n3]", 6, "listeners.A.match.run_type[2]: must be text in quotes"),
    (MATCH + "run_type = {}", 4,
        "listeners.A.match.run_type: must name an operator: not_in, contains, known, at_least, at_most, bits"),
    (MATCH + "run_type = { containz = 'a' }", 4,
        "listeners.A.match.run_type.containz: is not an operator: did you mean 'contains'?"),
    (MATCH + "[listeners.A.match.run_type]\n\nnot_in = 'a'", 6, "listeners.A.match.run_type.not_in: must be a list"),
    (MATCH + "run_type.not_in = []", 4, "listeners.A.match.run_type.not_in: must not be an empty list"),
    (MATCH + "run_type.not_in = [1]", 4, "listeners.A.match.run_type.not_in[0]: must be text in quotes"),
    (MATCH + "run_type.contains = ''", 4, "listeners.A.match.run_type.contains: must not be empty"),
    (MATCH + "run_type.contains = ['a']", 4, "listeners.A.match.run_type.contains: must be text in quotes"),
    (MATCH + "run_type.at_least = 1", 4,
        "listeners.A.match.run_type.at_least: cannot be used here: the attribute is text"),
    (MATCH + "recorded = 'yes'", 4, "listeners.A.match.recorded: must be true or false"),
    (MATCH + "recorded = 1", 4, "listeners.A.match.recorded: must be true or false"),
    (MATCH + "end = { known = 'x' }", 4, "listeners.A.match.end.known: must be true or false"),
    (MATCH + "end = { at_least = 5 }", 4, f"listeners.A.match.end.at_least: {TIME}"),
    (MATCH + "end = { at_least = '2015-13-01' }", 4, f"listeners.A.match.end.at_least: {TIME}"),
    (MATCH + "end.bits = 1", 4, "listeners.A.match.end.bits: cannot be used here: the attribute is a time"),
    (MATCH + "events = true", 4, "listeners.A.match.events: must be a whole number"),
    (MATCH + "events.at_most = 1.5", 4, "listeners.A.match.events.at_most: must be a whole number"),
    (MATCH + "detector_mask.bits = 0", 4,
        "listeners.A.match.detector_mask.bits: must have a bit set: without one it requires nothing"),
    (MATCH + "detector_mask.bits = '7c'", 4, f"listeners.A.match.detector_mask.bits: {MASK}"),
    (MATCH + f"detector_mask = '0x1{'0' * 32}'", 4, f"listeners.A.match.detector_mask: {MASK}"),
    (SOURCE + "attributes.x = { folder = '/A', column = 'x' }\n[listeners.A.match]\nx = nan", 5,
        "listeners.A.match.x: must be text, a number, or true or false"),
    # corrections
    (SOURCE + "[[corrections]]\nruns = '1'\nset = { end = '2015-01-01' }", 3, "corrections[0].reason: is missing"),
    (SOURCE + "[[corrections]]\nruns = '1'\nset = { recorded = true }\nreason = ' '", 6,
        "corrections[0].reason: must not be empty"),
    (SOURCE + "[[corrections]]\nruns = '2-1'\nset = { recorded = true }\nreason = 'x'", 4,
        "corrections[0].runs: '2-1' ends before it begins"),
    (SOURCE + "[[corrections]]\nruns = 5\nset = { recorded = true }\nreason = 'x'", 4,
        'corrections[0].runs: must be runs in quotes, such as "219978-219980,220013"'),
    (SOURCE + "[[corrections]]\nruns = '5'\nset = { recorded = 1 }\nreason = 'x'", 5,
        "corrections[0].set.recorded: must be true or false"),
    (SOURCE + "[[corrections]]\nruns = '5'\nset = { run = 1 }\nreason = 'x'", 5,
        "corrections[0].set.run: cannot be corrected: it says which run is meant"),
    (SOURCE + "[[corrections]]\nruns = '5'\nset = { clean = true }\nreason = 'x'", 5,
        "corrections[0].set.clean: is not an attribute of runs: did you mean 'clean_stop'?"),
    (SOURCE + "[[corrections]]\nruns = '5'\nset = {}\nreason = 'x'", 5,
        'corrections[0].set: must be a table of attributes, such as { gain_strategy = "CalibGainsEt" }'),
    # jobs
    (SOURCE + "[listeners.Aa]\n[jobs.J]\ncommand = ['x']\nlisteners = ['A']", 6,
        "jobs.J.listeners[0]: there is no listener 'A': did you mean 'Aa'?"),
    (TABLE, 4, "jobs.J.listeners: is missing"),
    (TABLE + "listeners = []", 6, "jobs.J.listeners: must not be empty"),
    (TABLE + "listeners = ['A', 'A']", 6, "jobs.J.listeners: names 'A' twice"),
    (SOURCE + "[listeners.A]\n[jobs.J]\nlisteners = ['A']", 4, "jobs.J.command: is missing"),
    (SOURCE + "[listeners.A]\n[jobs.J]\nlisteners = ['A']\ncommand = []", 6, f"jobs.J.command: {COMMAND}"),
    (BOTH + "templates = ['/etc/passwd']", 7,
        "jobs.J.templates[0]: must be a relative path inside the working area, not '/etc/passwd'"),
    (BOTH + "templates = ['a',\n'b/../c']", 8,
        "jobs.J.templates[1]: must not contain '..': it stays inside the working area"),
    (BOTH + "log = '../log'", 7, "jobs.J.log: must not contain '..': it stays inside the working area"),
    (BOTH + "show = ['root/{rum}.pdf']", 7,
        "jobs.J.show[0]: has {rum}: only {run}, {run:08d} or {job} may stand in braces"),
    (BOTH + "copy = { a = '/b' }", 7, "jobs.J.copy.a: must be a relative path inside the working area, not '/b'"),
    (BOTH + "copy = { '../a' = 'b' }", 7,
        'jobs.J.copy."../a": must not contain \'..\': it stays inside the working area'),
    (BOTH + "success = { outputs = [''] }", 7, "jobs.J.success.outputs[0]: must not be empty"),
    (BOTH + "success = { exit_kode = 0 }", 7,
        "jobs.J.success.exit_kode: is not a known key: did you mean 'exit_code'?"),
    (BOTH + "after = { failed = [[]] }", 7, f"jobs.J.after.failed[0]: {COMMAND}"),
    (BOTH + "tags = { release = 'x' }", 7,
        "jobs.J.tags.release: is not a usable tag: capital letters, digits and _, a letter first"),
    (BOTH + "tags = { RELEASE = 20 }", 7, "jobs.J.tags.RELEASE: must be text in quotes"),
    (BOTH + "memory = 2000", 7, 'jobs.J.memory: must have a unit: write "2000MB", "2000GB" or "2000TB"'),
    (BOTH + "options = '-x'", 7, "jobs.J.options: must be a list, in [ ]"),
    (BOTH + 'options = ["a\\nb"]', 7, "jobs.J.options[0]: must be one line without control characters"),
    (BOTH + "validat = true", 7, "jobs.J.validat: is not a known key: did you mean 'validate'?"),
    (BOTH + "attempts = 0", 7, "jobs.J.attempts: must be at least 1"),
    # no TOML
    ("[caf]\nx = 1\n\nx = 2", 4, "caf.x: is given twice; the first is on line 2"),
    ("[caf]\n[source]\n[caf]", 3, "caf: is given twice; the first is on line 1"),
    ("[caf]\nx y", 2, "this is not TOML: Expected '=' after a key in a key/value pair"),
    ("[caf]\nx = [1,\n\n", 2, "this is not TOML: Invalid value"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "error"), CASES, ids=[f"{n}:{case[2][:40]}" for n, case in enumerate(CASES)])
def test_each_error_names_its_line_and_its_key(text: str, line: int, error: str) -> None:
    assert errors(text) == [f"listeners.toml:{line}: {error}"]


def test_all_errors_are_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
[caf]
settle = 24
[jobs.J]
listeners = ["B"]
command = []
[source]
replicas = [1]
[listeners.A]
enabled = "no"
[listeners.A.match]
run_typ = "x"
recorded = "yes"
end = { known = 1, at_lest = 2 }
"""
    assert [re.sub(r"^listeners.toml:(\d+): ([^:]+):.*", r"\1 \2", line) for line in errors(text)] == [
        "2 caf.settle",
        "4 jobs.J.listeners[0]",
        "5 jobs.J.command",
        "7 source.replicas[0]",
        "9 listeners.A.enabled",
        "11 listeners.A.match.run_typ",
        "12 listeners.A.match.recorded",
        "13 listeners.A.match.end.known",
        "13 listeners.A.match.end.at_lest",
    ]


def test_no_word_of_the_machinery_is_shown() -> None:
    """Neither pydantic's jargon nor its addresses nor Python's names of types."""
    told = "\n".join("\n".join(errors(text)) for text, _, _ in CASES).lower()
    for word in ("pydantic", "http", "validation", "value error", "assertion", "input", "nonetype", "dict", "tuple"):
        assert word not in told


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "9" * 5000, "\ufeff\ufeff", "a = 1\x00"])
def test_texts_that_tomllib_trips_over_are_errors_of_the_file(text: str) -> None:
    (error,) = errors(text)
    assert re.match(r"listeners\.toml:1: \S", error)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"listeners\.toml: there is no such file; `caf init DIR` writes one"):
        load(tmp_path / "listeners.toml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder, not a file; `caf init DIR`"):
        load(tmp_path)


def test_a_path_through_a_file_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be read \(Not a directory\); `caf init DIR`"):
        load(tmp_path / "file" / "listeners.toml")


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "listeners.toml"
    path.symlink_to(path)  # a loop: unreadable for root too
    with pytest.raises(ConfigError, match=r"listeners\.toml: cannot be read \(.+\)"):
        load(path)


def test_a_file_that_is_not_utf8_says_where(tmp_path: Path) -> None:
    path = tmp_path / "listeners.toml"
    path.write_bytes(b"[caf]\n# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"^listeners\.toml:2: is not text in UTF-8") as caught:
        load(path)
    assert "\n" not in str(caught.value)

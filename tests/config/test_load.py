"""What a good file means: defaults, units, paths, conditions, and what is in force."""

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

from caf.config import Configuration, CoolSource, TableSource, check_exclusive, load, parse
from caf.domain.matching import Condition, Listener, Operator
from caf.domain.runs import Correction, Value, parse_time

SHIPPED = Path(__file__).resolve().parents[2] / "listeners.toml"
SOURCE = '[source]\nreplicas = ["cool/*.db"]\n'
DAY = 86_400


def read(text: str) -> Configuration:
    return parse(SOURCE + text, Path("/etc/caf/listeners.toml"))


def test_a_source_is_all_that_a_file_must_have() -> None:
    configuration = read("")
    caf, source = configuration.caf, configuration.source
    assert (caf.state, caf.work) == (Path("/etc/caf/state"), Path("/etc/caf/work"))
    assert caf.templates == Path("/etc/caf/templates")
    assert (caf.settle, caf.max_new_jobs, caf.record_grace, caf.submit_grace) == (DAY, 50, 90, 600)
    assert (caf.unknown_after, caf.log, caf.backup) == (4 * 3600, None, None)
    duties = configuration.duties
    assert (duties.discover, duties.organise, duties.clean, duties.report, duties.timeout) == (600, 120, 300, 60, 1800)
    assert isinstance(source, CoolSource)
    assert (source.replicas, source.database, source.first_run) == (("/etc/caf/cool/*.db",), "CONDBR2", 0)
    assert (source.stale, source.busy_timeout, source.attributes) == (7200, 5, {})
    assert (configuration.batch.kind, configuration.batch.slots, configuration.batch.group_slots) == (
        "local",
        None,
        None,
    )
    assert (configuration.quota, configuration.mail, configuration.report, configuration.credentials) == (None,) * 4
    assert (configuration.listeners, configuration.jobs, configuration.corrections) == ({}, {}, ())
    assert configuration.listeners_in_force() == ()
    assert configuration.unheeded() == []


def test_a_job_needs_only_its_listeners_and_a_command() -> None:
    job = read('[listeners.A]\n[jobs.J]\nlisteners = ["A"]\ncommand = ["true"]').jobs["J"]
    assert (job.listeners, job.command, job.enabled, job.needs_validation) == (("A",), ("true",), True, False)
    assert (job.raw, job.files_wait, job.attempts, job.retry_after, job.priority) == (None, 14 * DAY, 3, 600, 0)
    assert (job.templates, job.tags, job.scratch, job.copy_back, job.options) == ((), {}, False, {}, ())
    assert (job.queue, job.group, job.cpus, job.memory, job.walltime) == (None, None, 1, None, None)
    assert (job.log, job.archive, job.archive_exclude, job.removable) == ("log/stdout", None, (), False)
    assert (job.show, job.mail, job.after.done, job.after.failed) == ((), (), (), ())
    success = job.success
    assert (success.exit_code, success.log_has, success.log_lacks) == (0, (), ())
    assert (success.outputs, success.check) == ((), ())


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("200ms", 0.2), ("90s", 90), ("15m", 900), ("8h", 28_800), ("7d", 7 * DAY), ("2w", 14 * DAY), ("1.5h", 5400)],
)
def test_durations_are_seconds(written: str, seconds: float) -> None:
    assert read(f'[caf]\nsettle = "{written}"').caf.settle == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("500MB", 500_000_000),
        ("2GB", 2 * 10**9),
        ("1KB", 1000),
        ("3TB", 3 * 10**12),
        ("4KiB", 4096),
        ("1.5GiB", 3 << 29),
        ("0.1GB", 10**8),
        ("7 B", 7),
        ("2gb", 2 * 10**9),
    ],
)
def test_sizes_are_bytes(written: str, size: int) -> None:
    quota = read(f'[quota]\nlimit = "{written}"').quota
    assert quota is not None
    assert quota.limit == size


def test_paths_are_relative_to_the_file() -> None:
    configuration = read(
        '[caf]\nwork = "/data/work"\nbackup = "../b"\n'
        '[listeners.A]\nraw = ["raw/{run:07d}/*", "/eos/{run}", "root://eos.example//eos/{run}/*"]\n'
        '[jobs.J]\nlisteners = ["A"]\ncommand = ["x"]\narchive = "old/{run}/{job}"\nraw = []'
    )
    assert (configuration.caf.work, configuration.caf.backup) == (Path("/data/work"), Path("/etc/caf/../b"))
    assert configuration.listeners["A"].raw == (
        "/etc/caf/raw/{run:07d}/*",
        "/eos/{run}",
        "root://eos.example//eos/{run}/*",
    )
    assert configuration.jobs["J"].archive == "/etc/caf/old/{run}/{job}"
    assert configuration.jobs["J"].raw == ()


def test_the_files_own_folder_is_no_pattern() -> None:
    """A folder may be called [2015] or the like; in a glob that means one character of four."""
    source = parse(SOURCE, Path("/data/[2015]/listeners.toml")).source
    assert isinstance(source, CoolSource)
    assert source.replicas == ("/data/[[]2015]/cool/*.db",)


def test_a_table_is_a_source_too() -> None:
    source = parse('[source]\nkind = "table"\npath = "runs.csv"', Path("/etc/caf/listeners.toml")).source
    assert isinstance(source, TableSource)
    assert (source.path, source.first_run, source.stale) == (Path("/etc/caf/runs.csv"), 0, 7200)


def test_conditions_keep_the_files_order_and_have_the_attributes_type() -> None:
    configuration = read("""\
attributes.regime = { folder = "/A/B", column = "r" }
[listeners.A]
first_run = 210001
min_events = 1700
[listeners.A.match]
tier0_tag = { not_in = ["x"], contains = "y", known = true }
partition = ["a", "b"]
run_type = "c"
detector_mask = { bits = "0x7c00000000", at_most = 0xffffffffff }
start = { at_least = 2015-06-03T10:00:00Z, at_most = "2015-07-01" }
end = { at_most = 2015-07-01 }
run = { at_most = 300000 }
regime = { at_least = 1.5 }
[listeners.B]
enabled = false
[listeners.C]
min_events = 0
""")
    june, july = parse_time("2015-06-03T10:00:00Z"), parse_time("2015-07-01")
    assert configuration.listeners_in_force() == (
        Listener(
            "A",
            (
                Condition("run", Operator.AT_LEAST, 210001),
                Condition("tier0_tag", Operator.NOT_IN, ("x",)),
                Condition("tier0_tag", Operator.CONTAINS, "y"),
                Condition("tier0_tag", Operator.KNOWN, True),
                Condition("partition", Operator.ONE_OF, ("a", "b")),
                Condition("run_type", Operator.EQUAL, "c"),
                Condition("detector_mask", Operator.BITS, 0x7C00000000),
                Condition("detector_mask", Operator.AT_MOST, 0xFFFFFFFFFF),
                Condition("start", Operator.AT_LEAST, june),
                Condition("start", Operator.AT_MOST, july),
                Condition("end", Operator.AT_MOST, july),
                Condition("run", Operator.AT_MOST, 300000),
                Condition("regime", Operator.AT_LEAST, 1.5),
            ),
            1700,
        ),
        Listener("C", (), None),
    )


def test_corrections_have_the_attributes_type_too() -> None:
    configuration = read("""\
[[corrections]]
runs = "219978-219980, 220013"
set = { gain_strategy = "CalibGainsEt", end = 2015-06-03T10:00:00Z, detector_mask = "0xff" }
reason = " not written that day "
""")
    end = parse_time("2015-06-03T10:00:00Z")
    values: dict[str, Value] = {"gain_strategy": "CalibGainsEt", "end": end, "detector_mask": 255}
    assert configuration.corrections_in_force() == (
        Correction(((219978, 219980), (220013, 220013)), values, "not written that day"),
    )


def test_a_text_and_its_file_give_the_same(tmp_path: Path) -> None:
    path = tmp_path / "listeners.toml"
    text = SOURCE + "# é\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())  # as some editors begin a file
    loaded = load(path)
    assert loaded == parse(text, path)
    assert (loaded.text, loaded.path) == (text, path)
    assert loaded.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_the_shipped_file_serves_the_groups_listeners() -> None:
    """The jobs of each listener, as they were in 2014 (facts/legacy.md)."""
    configuration = load(SHIPPED)
    assert {
        listener.name: configuration.jobs_for(listener.name) for listener in configuration.listeners_in_force()
    } == {
        "LArEnergyScan": ["LArL1CaloRampMaker", "L1CaloCalibD3PD"],
        "LArEnergyScanHV": ["LArL1CaloRampMaker", "LArL1CaloHV"],
        "TileEnergyScan": ["TileL1CaloRampMaker", "L1CaloCalibD3PD"],
        "L1CaloPhos4Scan": ["Phos4ShapeMaker", "L1CaloCalibD3PD"],
        "LArCalibL1Calo": ["L1CaloCalibD3PD"],
        "TileCalibL1Calo": ["L1CaloCalibD3PD"],
        "L1CaloStandalone": ["L1CaloCalibD3PD"],
    }
    assert [name for name, job in configuration.jobs.items() if job.needs_validation] == ["L1CaloCalibD3PD"]
    assert check_exclusive(configuration) == ([], [])
    assert configuration.unheeded() == []
    for name, job in configuration.jobs.items():
        assert f"{name}.py" in job.templates
        for template in job.templates:
            assert (configuration.caf.templates / template).is_file()


def test_a_disabled_job_serves_nobody() -> None:
    text = SHIPPED.read_text().replace("enabled = true\nvalidate = true", "enabled = false\nvalidate = true")
    assert parse(text, SHIPPED).jobs_for("L1CaloStandalone") == []


def all_keys(text: str) -> str:
    """Give the shipped file with every key that it shows in a comment switched on."""
    return re.sub(r"(?m)^# (?=\[{1,2}[a-zA-Z0-9_.]+\]{1,2}|[a-z_]+ = )", "", text)


def test_the_shipped_file_shows_every_key_and_what_it_shows_is_valid() -> None:
    text = all_keys(SHIPPED.read_text())
    configuration = parse(text, SHIPPED)
    for name in Configuration.__dataclass_fields__:
        table = getattr(configuration, name)
        if hasattr(table, "model_fields_set"):
            left_out = set(type(table).model_fields) - table.model_fields_set
            assert left_out == ({"limit"} if name == "quota" else set()), name
    given = tomllib.loads(text)
    fields = type(configuration.jobs["LArL1CaloRampMaker"]).model_fields
    assert {field.alias or name for name, field in fields.items()} == set(given["jobs"]["LArL1CaloRampMaker"])
    assert set(type(configuration.listeners["LArEnergyScan"]).model_fields) == set(given["listeners"]["LArEnergyScan"])


def test_what_nothing_acts_on_is_named() -> None:
    assert parse(all_keys(SHIPPED.read_text()), SHIPPED).unheeded() == []
    job = '[batch]\nkind = "lsf"\n[listeners.A]\n[jobs.J]\nlisteners = ["A"]\ncommand = ["x"]\n'
    more = 'removable = true\nshow = []\nafter = { done = [] }\nsuccess = { check = ["y"] }'
    assert read(job + more).unheeded() == ["jobs.J.removable"]


def test_overlapping_listeners_are_named_with_a_run_that_both_would_take() -> None:
    text = re.sub(r"(?m)^gain_strategy = \[.*\n", "", SHIPPED.read_text())
    errors, warnings = check_exclusive(parse(text, SHIPPED))
    line = text.split("\n").index("[listeners.LArEnergyScan]") + 1
    assert errors == [
        f"listeners.toml:{line}: listeners.LArEnergyScan and listeners.LArEnergyScanHV overlap: both would take a run "
        'with run=210001, run_type="LarCalibL1Calo", partition="L1CaloCombined", tier0_tag="L1CaloEnergyScan", '
        'recorded=true, clean_stop=true, end="2015-06-03T10:00:00.000000Z", gain_strategy="CalibGainsEt"'
    ]
    assert warnings == []


def test_an_overlap_that_needs_two_words_is_a_warning_and_so_is_a_listener_that_takes_nothing() -> None:
    configuration = read("""\
[listeners.A.match]
run_type.contains = "LarCalib"
[listeners.B.match]
run_type.contains = "cismono"
[listeners.C.match]
run_type = "Physics"
events = { at_least = 10, at_most = 9 }
[listeners.D]
enabled = false
""")
    assert check_exclusive(configuration) == (
        [],
        [
            "listeners.toml:3: listeners.A and listeners.B overlap if one text can hold two words: "
            'both would take a run with run_type="LarCalib_cismono"',
            "listeners.toml:7: listeners.C can never take a run: its conditions contradict each other",
        ],
    )

"""`init`, `check`, `listeners list`, and the folders that commands find."""

import tomllib
from pathlib import Path

import pytest

from caf import paths
from caf.domain.errors import ConfigError
from tests.cli.pretend import CONFIGURATION, Site

OVERLAPPING = '\n[listeners.Twin]\nmatch = { run_type = "LarCalibL1Calo" }\n'


def test_init_writes_a_valid_configuration_and_never_overwrites(empty: Site) -> None:
    answer = empty.caf("init", "new/site")
    assert (answer.status, answer.err) == (0, "")
    written = Path("new/site/listeners.toml")
    given = tomllib.loads(written.read_text())
    assert given["caf"]["templates"] == "templates"
    assert len(given["listeners"]) == 7
    named = {name for job in given["jobs"].values() for name in job["templates"]}
    assert named <= {path.name for path in Path("new/site/templates").iterdir()}
    written.write_text("mine")
    again = empty.caf("init", "new/site")
    assert (again.status, written.read_text()) == (1, "mine")
    assert "nothing is overwritten" in again.err


def test_check_says_what_is_missing(empty: Site) -> None:
    answer = empty.caf("check")
    assert answer.status == 1
    assert "BAD   source: no replica matches" in answer.out
    assert "ok    batch: local, 2 slots" in answer.out
    assert "ok    no run can be taken by two listeners" in answer.out
    assert max(map(len, answer.out.splitlines())) <= max(80, len(str(empty.folder)) + 40)


def test_check_ends_with_what_it_comes_to(empty: Site) -> None:
    """And as often as it is asked: what an earlier check found is no part of it."""
    for _ in range(2):
        out = empty.caf("check").out
        assert out.count("BAD") == 1
        assert out.splitlines()[-1] == "1 thing to mend"
    table = '[source]\nkind = "table"\npath = "runs.csv"\n[listeners.A]\n[jobs.J]\nlisteners = ["A"]\n'
    empty.config.write_text(f'{table}command = ["true"]\n')
    (empty.folder / "runs.csv").write_text("run,run_type\n490001,x\n")
    good = empty.caf("check")
    assert (good.status, good.out.splitlines()[-1]) == (0, "all is well")
    empty.config.write_text(f'{table}command = ["no-such-program"]\n')
    warned = empty.caf("check")
    assert (warned.status, warned.out.splitlines()[-1]) == (0, "all is well, with 1 warning")


def test_check_gives_every_error_of_the_file_with_its_line(empty: Site) -> None:
    text = empty.config.read_text().replace("min_events", "min_event").replace("slots = 2", "slots = 0")
    empty.config.write_text(text)
    answer = empty.caf("check")
    assert (answer.status, answer.out) == (2, "")
    lines = answer.err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("listeners.toml:") for line in lines)
    assert "did you mean 'min_events'?" in answer.err


def test_overlapping_listeners_are_an_error_of_the_configuration(empty: Site) -> None:
    empty.config.write_text(empty.config.read_text() + OVERLAPPING)
    answer = empty.caf("check")
    assert answer.status == 2
    assert "listeners.Scan and listeners.Twin overlap" in answer.err
    assert answer.out.splitlines()[-1] == "Correct the listeners first: nothing else was checked"


def test_check_says_which_keys_do_nothing_without_another_table(empty: Site) -> None:
    text = empty.config.read_text()
    empty.config.write_text(text.replace("validate = true\n", "validate = true\nremovable = true\n"))
    said = empty.caf("check").out
    assert "removable" in said
    assert "[quota]" in said


def test_check_looks_at_all_places_that_the_file_names(empty: Site) -> None:
    """What `caf status` says of the duties' failures ends with `caf check`: it must find them too."""
    more = f'[caf]\nlog = "nix/caf.log"\nbackup = "{empty.folder}/not/mounted"\n'
    text = more + empty.config.read_text()
    empty.config.write_text(f'{text}\n[quota]\nprovider = "eos"\nclient = ["no-such-eos"]\n[report]\n')
    answer = empty.caf("check")
    said = " ".join(answer.out.split())
    assert answer.status == 1
    assert "BAD quota: no-such-eos is not on this machine" in said
    assert f"BAD log: {empty.folder}/nix is not there" in said
    assert f"warn backup: {empty.folder}/not/mounted would be made in {empty.folder}: is something not mounted" in said
    assert f"ok report: {empty.folder}/www, made when it is needed" in said
    assert not (empty.folder / "www").exists()


def test_a_template_that_is_not_there_is_named(empty: Site) -> None:
    text = empty.config.read_text().replace("validate = true\n", 'templates = ["nix.sh"]\n')
    empty.config.write_text(text)
    answer = empty.caf("check")
    assert "BAD   jobs.L1CaloCalibD3PD: cannot read template" in answer.out
    assert "nix.sh: No such file or directory" in " ".join(answer.out.split())


def with_template(site: Site, text: str, *, mode: int = 0o755, more: str = "") -> str:
    """Give the only job a template as its command, and say what `caf check` finds, on one line."""
    given, _, _ = CONFIGURATION.partition("[jobs.")
    job = '[jobs.Fit]\nlisteners = ["Scan"]\ntemplates = ["fit.sh"]\ncommand = ["config/fit.sh"]\n'
    site.config.write_text(f"{given}{job}{more}")
    template = site.folder / "templates" / "fit.sh"
    template.parent.mkdir()
    template.write_text(text)
    template.chmod(mode)
    answer = site.caf("check")
    assert answer.status == 1  # there is no replica
    return " ".join(answer.out.split())


def test_an_unknown_tag_is_found_with_file_and_line(empty: Site) -> None:
    """Else every job of its kind would fail, one after the other."""
    out = with_template(empty, "#!/bin/sh\n# RUN, #1# and #x# are no tags\necho #RUN_NUMBR# #OWN#\n")
    assert "BAD jobs.Fit: fit.sh:3: unknown tag #RUN_NUMBR# (did you mean #RUN_NUMBER#?)" in out
    assert "BAD jobs.Fit: fit.sh:3: unknown tag #OWN#" in out
    assert "every tag has a value" not in out
    assert not (empty.folder / "work").exists()


def test_tags_of_runs_of_jobs_and_of_the_configuration_have_values(empty: Site) -> None:
    tags = ("RUN_START", "RUN_DETECTOR_MASK", "RUN_CLEAN_STOP", "RUN_REGIME", "RAW_FILES_SH", "OWN", "JOB_LOG_NAME")
    regime = '[source.attributes.regime]\nfolder = "/A/B"\ncolumn = "c"\n'
    out = with_template(empty, " ".join(f"#{tag}#" for tag in tags), more=f'tags = {{ OWN = "1" }}\n{regime}')
    assert "and every tag has a value" in out
    assert "BAD jobs" not in out


def test_a_program_that_is_not_executable_is_found(empty: Site) -> None:
    out = with_template(empty, "#!/bin/sh\n", mode=0o644)
    assert f"is not executable: chmod +x {empty.folder / 'templates' / 'fit.sh'}" in out


def test_a_job_that_is_not_enabled_is_no_fault(empty: Site) -> None:
    out = with_template(empty, "#NIX#", more="enabled = false\n")
    assert "note jobs.Fit: fit.sh:1: unknown tag #NIX#" in out
    assert "BAD jobs" not in out


def test_a_program_that_this_machine_lacks_is_warned_about(empty: Site) -> None:
    empty.config.write_text(CONFIGURATION.replace('command = ["true"]', 'command = ["no-such-program"]', 1))
    assert "warn  jobs.LArL1CaloRampMaker: no-such-program is not on this machine" in empty.caf("check").out


def test_columns_of_a_table_are_tags_too(empty: Site) -> None:
    """What columns a table has is not the configuration's to say: no fault, but a note."""
    (empty.folder / "runs.csv").write_text("run,shift\n490001,anna\n")
    source = '[source]\nkind = "table"\npath = "runs.csv"\n'
    job = '[jobs.J]\nlisteners = ["A"]\ntemplates = ["t.txt"]\ncommand = ["true"]\n'
    empty.config.write_text(f"{source}[listeners.A]\n{job}")
    (empty.folder / "templates").mkdir()
    (empty.folder / "templates" / "t.txt").write_text("#RUN_SHIFT# #RUN# #SHIFT#")
    out = " ".join(empty.caf("check").out.split())
    assert "note #RUN_SHIFT# in a template has a value only if the table has a column of that name" in out
    assert "t.txt:1: unknown tag #SHIFT#" in out
    assert out.count("unknown tag") == 1


def test_one_is_not_many(empty: Site) -> None:
    out = with_template(empty, "")
    assert "listeners.toml: 2 listeners, 1 job " in out
    assert "templates: 1 in" in out


def test_listeners_are_listed_with_what_they_want(empty: Site) -> None:
    rows = empty.caf("listeners", "list", "--json").json()
    scan, standalone = rows
    assert (scan["name"], scan["jobs"]) == ("Scan", ["LArL1CaloRampMaker", "L1CaloCalibD3PD"])
    assert scan["conditions"][0] == {
        "attribute": "run",
        "operator": "at_least",
        "wanted": 490001,
        "text": "run is at least 490001",
    }
    assert (standalone["can_match"], standalone["overlaps"]) == (True, [])
    assert "tier0_tag is none of L1CaloEnergyScan" in empty.caf("listeners", "list").out


def test_overlaps_are_listed_with_a_witness_on_both_sides(empty: Site) -> None:
    empty.config.write_text(empty.config.read_text() + OVERLAPPING)
    rows = {row["name"]: row for row in empty.caf("listeners", "list", "--json").json()}
    overlap = rows["Scan"]["overlaps"][0]
    assert (overlap["with"], overlap["real_run"], overlap["certain"]) == ("Twin", None, True)
    assert overlap["witness"]["run_type"] == "LarCalibL1Calo"
    assert rows["Twin"]["overlaps"][0]["with"] == "Scan"
    assert "OVERLAPS Twin" in empty.caf("listeners", "list").out


def test_folders_are_relative_to_the_file(tmp_path: Path) -> None:
    config = tmp_path / "listeners.toml"
    config.write_text("\ufeff[caf]\nwork = '/w'\n", encoding="utf-8")
    assert paths.state_folder(config) == tmp_path / "state"
    assert paths.work_folder(config) == Path("/w")
    assert paths.state_folder(tmp_path / "nix", Path("given")) == Path("given")
    assert paths.slots(config) is None


@pytest.mark.parametrize(
    "text", ["[caf", "[caf]\nstate = 7", "[caf]\nstate = ''", "[caf]\nstate = '~/x'", "caf = " + "[" * 5000, "\xff"]
)
def test_a_file_that_names_no_folder_says_the_way_out(tmp_path: Path, text: str) -> None:
    config = tmp_path / "listeners.toml"
    config.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"--state DIR or \$CAF_STATE"):
        paths.state_folder(config)


def test_a_file_that_is_missing_or_a_folder_says_the_way_out(tmp_path: Path) -> None:
    for config in (tmp_path / "nix.toml", tmp_path):
        with pytest.raises(ConfigError, match=r"--state DIR or \$CAF_STATE"):
            paths.state_folder(config)

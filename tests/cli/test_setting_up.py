"""`init`, `check`, `listeners list`, and the folders that commands find."""

import tomllib
from pathlib import Path

import pytest

from caf import paths
from caf.domain.errors import ConfigError
from tests.cli.pretend import Site

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


def test_check_says_which_keys_are_not_acted_on_yet(empty: Site) -> None:
    empty.config.write_text(empty.config.read_text() + '\n[mail]\nto = ["ann@example.org"]\n')
    assert "note  mail is read, but this version does not act on it yet" in empty.caf("check").out


def test_a_template_that_is_not_there_is_named(empty: Site) -> None:
    text = empty.config.read_text().replace("validate = true\n", 'templates = ["nix.sh"]\n')
    empty.config.write_text(text)
    assert "jobs.L1CaloCalibD3PD: there is no template" in empty.caf("check").out


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

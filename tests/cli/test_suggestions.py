"""After a slip of the finger: what was perhaps meant."""

import pytest

from caf.domain.spelling import instead, near, slips
from tests.cli.pretend import D3PD, RAMP, Site


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("jbos list", "there is no command `caf jbos`; did you mean `caf jobs list`?"),
        ("jobs shwo 1 X", "there is no command `caf jobs shwo`; did you mean `caf jobs show`?"),
        ("stauts", "did you mean `caf status`?"),
        ("why 490001 X", "did you mean `caf jobs why`?"),
        ("list", "did you mean `caf runs list` or `caf jobs list` or `caf listeners list`?"),
        ("jobs status", "did you mean `caf status`?"),
        ("quota pni 1 X", "did you mean `caf quota pin`?"),
        ("help jobs", "did you mean `caf jobs --help`?"),
        ("jobs help", "did you mean `caf jobs --help`?"),
        ("nonsense", "there is no command `caf nonsense`: `caf --help` shows"),
        ("jobs list --stat FAILED", "--state"),
        ("jobs list --state FAILD", "did you mean FAILED?"),
        ("runs list --status OPN", "did you mean OPEN?"),
        ("jobs lst", "did you mean `caf jobs list`?"),
    ],
)
def test_wrong_usage_says_what_was_perhaps_meant(site: Site, words: str, says: str) -> None:
    answer = site.caf(*words.split())
    assert (answer.status, answer.out) == (2, "")
    assert says in answer.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (f"jobs show 490001 {RAMP[:-1]}", f"did you mean {RAMP}?"),
        ("jobs show 490001 larl1calorampmaker", f"did you mean {RAMP}?"),
        (f"jobs show 49001 {RAMP}", "no run 49001 (known: 490001 to 490010); did you mean 490010 or 490001?"),
        ("runs show 490020", "did you mean 490010 or 490002?"),
        (f"pause --job {D3PD[:-1]} --reason x", f"did you mean {D3PD}?"),
    ],
)
def test_a_refusal_says_what_was_perhaps_meant(site: Site, words: str, says: str) -> None:
    answer = site.caf(*words.split())
    assert answer.status == 1
    assert says in answer.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("jobs list --job LArL1CaloRampMakr", f"there is no job LArL1CaloRampMakr; did you mean {RAMP}?"),
        ("jobs list --listener scan", "there is no listener scan; did you mean Scan?"),
        ("runs list --listener Scn", "did you mean Scan?"),
        ("history --job Other", f"there is no job Other; there are {D3PD}, {RAMP}"),
    ],
)
def test_an_empty_list_says_so_of_a_name_that_nothing_has(site: Site, words: str, says: str) -> None:
    """On standard error, and the status stays what it was."""
    answer = site.caf(*words.split())
    assert (answer.status, answer.out) == (0, "")
    assert says in answer.err
    assert site.caf("jobs", "list", "--job", RAMP, "--state", "DONE").err == ""


def test_many_jobs_of_a_name_that_there_is_not(site: Site) -> None:
    answer = site.caf("jobs", "hold", "--job", "LArL1CaloRampMakr")
    assert answer.status == 1
    assert f"did you mean {RAMP}?" in answer.err


def test_slips_of_a_number_are_those_of_one_finger() -> None:
    found = set(slips(49012))
    assert {490012, 49021, 4912, 49013, 490123} <= found
    assert 490001 not in found
    assert 49012 in set(slips(49021))
    assert len(found) < 200


def test_names_are_found_whatever_their_case() -> None:
    assert near("SCAN", ["Scan", "Standalone"])[0] == "Scan"
    assert instead("x", []) == "there are none"
    assert instead("zzz", [f"name{n}" for n in range(20)]).endswith("and 5 more")

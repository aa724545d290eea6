"""Places of raw files and archives are paths or XRootD addresses; anything else is a slip."""

from pathlib import Path

import pytest

from caf.config import parse
from caf.domain.errors import ConfigError

REST = '[source]\nreplicas = ["x.db"]\n[listeners.A]\n{raw}\n[jobs.J]\nlisteners = ["A"]\ncommand = ["x"]\n{archive}\n'


def read(raw: str = "", archive: str = "") -> tuple[tuple[str, ...] | None, str | None]:
    found = parse(REST.format(raw=raw, archive=archive), Path("/etc/caf/listeners.toml"))
    return found.listeners["A"].raw, found.jobs["J"].archive


def test_an_address_of_xrootd_is_taken_as_it_is() -> None:
    given = "root://eosatlas.cern.ch:1094//eos/atlas/{run:08d}/*"
    assert read(raw=f'raw = ["{given}"]')[0] == (given,)
    kept = "xroots://me@host//eos/caf/{run}/{job}"
    assert read(archive=f'archive = "{kept}"')[1] == kept


@pytest.mark.parametrize("place", ["https://host//a/{run}", "root://host/a/{run}", "root:///a/{run}", "castor://h//a"])
def test_another_address_is_refused_with_its_line(place: str) -> None:
    with pytest.raises(ConfigError, match=r":4: .*write root://host//path, or a path"):
        read(raw=f'raw = ["{place}"]')
    with pytest.raises(ConfigError, match=r":8: .*write root://host//path, or a path"):
        read(archive=f'archive = "{place}"')


@pytest.mark.parametrize(
    ("program", "path"),
    [("./renew.sh", "/etc/caf/./renew.sh"), ("bin/renew", "/etc/caf/bin/renew"), ("kinit", "kinit"), ("/k", "/k")],
)
def test_a_program_of_this_machine_is_relative_to_the_file_like_all_else(program: str, path: str) -> None:
    """The supervisor is in no folder in particular. What a payload's command names is in its area."""
    tables = (
        f'[credentials]\nrenew = ["{program}", "a/b"]\nafter = ["{program}", "./c"]\n[quota]\nclient = ["{program}"]\n'
    )
    found = parse(REST.format(raw="", archive="") + tables, Path("/etc/caf/listeners.toml"))
    assert found.credentials is not None
    assert found.quota is not None
    assert (found.credentials.renew, found.credentials.after) == ((path, "a/b"), (path, "./c"))
    assert found.quota.client == (path,)
    assert found.jobs["J"].command == ("x",)

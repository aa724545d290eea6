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

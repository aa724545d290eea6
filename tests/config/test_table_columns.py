"""A table's columns are attributes: conditions may name them, but not a slip of the pen."""

from pathlib import Path

import pytest

from caf.config import parse
from caf.domain.errors import ConfigError

TEXT = """
[source]
kind = "table"
path = "runs.csv"
[listeners.Late]
[listeners.Late.match]
{condition}
"""


def test_a_condition_on_a_column_of_the_table_is_accepted() -> None:
    configuration = parse(TEXT.format(condition='shift = "late"'), Path("listeners.toml"))
    assert configuration.listeners["Late"].match[0].attribute == "shift"
    assert "shift" in configuration.kinds()


def test_a_name_like_an_attributes_is_a_slip_of_the_pen() -> None:
    with pytest.raises(ConfigError, match=r"listeners.toml:7: .*did you mean 'partition'"):
        parse(TEXT.format(condition='partitoin = "late"'), Path("listeners.toml"))


def test_a_replica_has_no_columns_of_its_own() -> None:
    text = '[source]\nreplicas = ["a.db"]\n[listeners.Late.match]\nshift = "late"\n'
    with pytest.raises(ConfigError, match=r"listeners.toml:4: .*shift"):
        parse(text, Path("listeners.toml"))

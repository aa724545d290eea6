"""What holds for all tests of the duties: their file children need no time to start."""

import pytest

from caf.storage import child
from tests import warm


@pytest.fixture(autouse=True)
def _warm_file_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have their processes forked from one that has the imports done; `tests/storage` has them as they come."""
    monkeypatch.setattr(child, "_start", warm.file_child)

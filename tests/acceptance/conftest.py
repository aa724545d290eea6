"""What has a real supervisor come up for each test is left to the long run, but for a few."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
LONG = {"test_after_scripts.py", "test_faults.py", "test_group.py", "test_scratch.py"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the long ones."""
    for item in items:
        if item.path.parent == HERE and item.path.name in LONG:
            item.add_marker("campaign")

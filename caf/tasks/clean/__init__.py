"""The clean duty: measures how full the account is, and removes what may go when it gets too full."""

from caf.tasks.clean.round import run_once
from caf.tasks.clean.shift import Cleaned

__all__ = ["Cleaned", "run_once"]

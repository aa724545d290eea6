"""The organise duty: takes every job one step further on its way, in one round over all that are open."""

from caf.tasks.organise.round import Organised, run_once, run_quick

__all__ = ["Organised", "run_once", "run_quick"]

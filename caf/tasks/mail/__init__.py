"""The mail duty: tells people what is new and what needs them, in digests and a daily summary."""

from caf.tasks.mail.round import Mailed, interval, run_once

__all__ = ["Mailed", "interval", "run_once"]

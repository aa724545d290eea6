"""What comes with caf to start from: the L1Calo group's listeners.toml and templates.

An installed package holds them in this folder; a checkout has them at its top level and in deploy/.
"""

from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
IN_CHECKOUT = {"listeners.toml": "listeners.toml", "templates": "deploy/templates"}


def shipped(name: str) -> Path:
    """Give the path of a shipped file or folder: "listeners.toml" or "templates"."""
    installed = HERE / name
    return installed if installed.exists() else CHECKOUT / IN_CHECKOUT[name]

"""COOL's own files and answers: replicas that the real library wrote, and what it says when it reads them.

They lie in tests/data/cool_library.tar.xz, whose README.md says where each comes from; no part of caf made them.
"""

import atexit
import shutil
import tarfile
import tempfile
from functools import cache
from pathlib import Path

ARCHIVE = Path(__file__).resolve().parents[1] / "data" / "cool_library.tar.xz"


@cache
def library() -> Path:
    """Unpack the archive, once in a session, and return the folder with synthetic, real, golden and schema."""
    folder = tempfile.mkdtemp(prefix="caf-cool-library-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return Path(folder) / "cool"

"""Two versions of caf, each built and installed as a wheel, with one database: right or refused, never half."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from caf.store.database import VERSION
from tests.world import World, wait_until

TOP = Path(__file__).resolve().parents[2]
RUN = 490001
NEXT = VERSION + 1
IN_A_WHEEL = ("pyproject.toml", "README.md", "listeners.toml", "caf", "deploy", "docs")

GOOD = "conn.execute('ALTER TABLE job ADD COLUMN novelty TEXT')"
BROKEN = "(conn.execute('ALTER TABLE job ADD COLUMN novelty TEXT'), conn.execute('no SQL'))"

pytestmark = pytest.mark.campaign


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path.name}"
    path.write_text(text.replace(old, new))


def install(source: Path, target: Path) -> Path:
    """Build a wheel and install it into a folder of its own."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheels = target.with_name(f"{target.name}-wheels")
    for command in (
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(wheels), str(source)],
        [*pip, "install", "--no-deps", "--no-index", "--target", str(target), f"--find-links={wheels}", "caf"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    return target


def next_version(folder: Path, migration: str) -> Path:
    """Give the source of a caf that is one version further, with this migration."""
    folder.mkdir()
    for name in IN_A_WHEEL:
        copy = shutil.copytree if (TOP / name).is_dir() else shutil.copy
        copy(TOP / name, folder / name)
    change(folder / "caf" / "__init__.py", '__version__ = "0.1.0"', '__version__ = "0.2.0"')
    change(folder / "caf" / "store" / "database.py", f"\nVERSION = {VERSION}\n", f"\nVERSION = {NEXT}\n")
    with (folder / "caf" / "store" / "migrations.py").open("a") as file:
        file.write(f"\n\nMIGRATIONS[{VERSION}] = lambda conn: {migration} and None\n")
    return folder


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Have this version, the next one, and a next one whose migration fails."""
    top = tmp_path_factory.mktemp("versions")
    return {
        "this": install(TOP, top / "this"),
        "next": install(next_version(top / "next-source", GOOD), top / "next"),
        "broken": install(next_version(top / "broken-source", BROKEN), top / "broken"),
    }


class Site:
    """A world whose caf is exchanged."""

    def __init__(self, world: World, versions: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.versions, self._monkeypatch = world, versions, monkeypatch
        monkeypatch.setenv("PYTHONSAFEPATH", "1")  # this folder's own caf is not meant

    def install(self, version: str) -> None:
        self._monkeypatch.setenv("PYTHONPATH", str(self.versions[version]))
        said = subprocess.run([sys.executable, "-m", "caf", "--version"], capture_output=True, text=True, timeout=60)
        assert said.stdout == ("caf 0.1.0\n" if version == "this" else "caf 0.2.0\n")

    def refused(self, *words: str) -> str:
        """Have a command refused in a line or two, the database as it was."""
        before = self.world.database.read_bytes()
        done = self.world.caf(*words, check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        assert self.world.database.read_bytes() == before
        assert len(done.stderr.splitlines()) <= 2
        return " ".join(done.stderr.split())

    def schema(self) -> int:
        return int(self.world.query("PRAGMA user_version")[0][0])


@pytest.fixture
def site(tmp_path: Path, versions: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    gate = f'while [ ! -e "{tmp_path}/gate" ]; do sleep 0.02; done'
    world = World(tmp_path, [RUN], body=gate).quick()
    yield Site(world, versions, monkeypatch)
    world.end_payloads()


def begun(site: Site) -> None:
    """Have this version begin a job that goes on by itself."""
    site.install("this")
    with site.world.running() as process:
        wait_until(lambda: site.world.started.exists(), what="the payload")
        done = site.world.caf("db", "migrate", check=False)
        assert (done.returncode, "another supervisor runs already" in done.stderr) == (1, True)
        assert site.world.stop(process) == 0


def test_an_upgrade_while_a_job_runs_and_the_way_back(site: Site, tmp_path: Path) -> None:
    begun(site)
    site.install("next")
    assert "by an older caf" in site.refused("jobs", "list")
    assert "`caf db migrate`" in site.refused("jobs", "hold", str(RUN), "Fit")
    done = site.world.caf("db", "migrate")
    assert f"schema {VERSION} became {NEXT}; as it was it is kept as" in " ".join(done.stdout.split())
    assert "is up to date" in site.world.caf("db", "migrate").stdout

    site.install("this")
    for words in (["jobs", "list"], ["run"], ["db", "migrate"], ["jobs", "kill", str(RUN), "Fit"]):
        assert f"by a newer caf (schema {NEXT}, this one knows {VERSION}): install that" in site.refused(*words)
    assert site.world.caf("status", "--nagios", check=False).returncode == 2

    site.install("next")
    with site.world.running() as process:
        (tmp_path / "gate").touch()
        wait_until(lambda: site.world.state(RUN) == "DONE", what="the end of the job")
        assert site.world.stop(process) == 0
    back(site)


def back(site: Site) -> None:
    """Go back to this version as docs/administrator.md tells."""
    site.install("this")
    kept = site.world.database.with_name(f"caf.db.schema-{VERSION}")
    site.world.caf("db", "restore", str(kept), "--reason", "0.2.0 does not do")
    assert "--take-over" in site.refused("run", "--once")
    site.world.caf("run", "--once", "--take-over")
    site.world.caf("run", "--once")
    assert (site.schema(), site.world.state(RUN)) == (VERSION, "DONE")
    assert list(site.world.starts().values()) == [1], "what was done under the other version was done again"


def test_a_start_migrates_as_well(site: Site, tmp_path: Path) -> None:
    begun(site)
    site.install("next")
    (tmp_path / "gate").touch()
    with site.world.running() as process:
        wait_until(lambda: site.world.state(RUN) == "DONE", what="the end of the job")
        assert site.world.stop(process) == 0
    assert site.schema() == NEXT
    columns = {row[1] for row in site.world.query("PRAGMA table_info(job)")}
    assert "novelty" in columns


def test_a_migration_that_fails_leaves_all_to_the_old_version(site: Site, tmp_path: Path) -> None:
    begun(site)
    site.install("broken")
    assert "caf.db" in site.refused("db", "migrate")
    assert "caf.db" in site.refused("run")
    site.install("this")
    assert site.schema() == VERSION
    with site.world.running() as process:
        (tmp_path / "gate").touch()
        wait_until(lambda: site.world.state(RUN) == "DONE", what="the end of the job")
        assert site.world.stop(process) == 0
    assert json.loads(site.world.caf("db", "check", "--json").stdout)["findings"] == []

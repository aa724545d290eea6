"""The clusters: each comes up once for a run of tests, when the first test asks for it."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import pytest

from tests.clusters import htcondor as htcondor_cluster
from tests.clusters import slurm as slurm_cluster
from tests.clusters.htcondor import HTCondor
from tests.clusters.shared import run_of, taking_turns
from tests.clusters.slurm import Slurm

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder: they need minutes and real batch systems."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("clusters")


def server_of(nodeid: str) -> str:
    """Give the server that a test has; a campaign, and a class with a stand-in of its own, waits for nobody."""
    file, *names = nodeid.split("::")
    if "_every_payload_" in nodeid:
        return nodeid
    return "::".join((file, *names[:1])) if Path(file).name == "test_lsf.py" else file.replace("_supervised", "")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Have tests that would wait for each other done by one worker, if this folder is named on the command line."""
    scheduling = import_module("xdist.scheduler").LoadScopeScheduling(config, log)
    scheduling._split_scope = server_of
    return scheduling


Cluster = TypeVar("Cluster", Slurm, HTCondor)


@pytest.fixture(scope="session")
def plain_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Slurm without accounting."""
    with slurm_cluster.running(run_of(tmp_path_factory), "slurm", "--min-job-age", "1800") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def accounting_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Slurm with accounting, which forgets ended jobs soon."""
    with slurm_cluster.running(run_of(tmp_path_factory), "slurmacct", "--acct", "--min-job-age", "2") as cluster:
        yield cluster


@pytest.fixture
def memory_slurm(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """Have this test talk to a Slurm that limits memory."""
    if not Path("/sys/fs/cgroup/memory").is_dir():
        pytest.skip("this machine has no cgroup v1 with a memory controller: Slurm cannot tell of memory here")
    with slurm_cluster.running(run_of(tmp_path_factory), "slurmmem", "--cgroup", "--min-job-age", "1800") as cluster:
        yield from _used(cluster, monkeypatch)


@pytest.fixture
def slurm(plain_slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """Have this test talk to the Slurm without accounting."""
    yield from _used(plain_slurm, monkeypatch)


@pytest.fixture
def own_slurm(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """Have this test, which is long, talk to a Slurm that nobody else waits for."""
    with slurm_cluster.running(run_of(tmp_path_factory), "slurmown", "--min-job-age", "1800") as cluster:
        yield from _used(cluster, monkeypatch)


@pytest.fixture
def accounted(accounting_slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """Have this test talk to the one with accounting."""
    yield from _used(accounting_slurm, monkeypatch)


@pytest.fixture(scope="session")
def htcondor_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTCondor]:
    """Have an HTCondor."""
    with htcondor_cluster.running(run_of(tmp_path_factory)) as cluster:
        yield cluster


@pytest.fixture
def htcondor(htcondor_pool: HTCondor, monkeypatch: pytest.MonkeyPatch) -> Iterator[HTCondor]:
    """Have this test talk to it."""
    yield from _used(htcondor_pool, monkeypatch)


@pytest.fixture
def own_htcondor(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[HTCondor]:
    """Have this test, which is long, talk to an HTCondor that nobody else waits for."""
    with htcondor_cluster.running(run_of(tmp_path_factory), "htcondorown") as cluster:
        yield from _used(cluster, monkeypatch)


def _used(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with taking_turns(cluster.folder):
        for name, text in cluster.environment.items():
            monkeypatch.setenv(name, text)
        yield cluster
        cluster.go_on()
        cluster.clear()

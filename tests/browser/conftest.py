"""The status page in a real browser: sites to look at, and who serves them."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from websockets.sync.client import ClientConnection

from tests.browser import chromium
from tests.browser.chromium import Tab
from tests.browser.site import many, season
from tests.report.press import CONFIGURATION, Press, press
from tests.report.whole import around

HERE = Path(__file__).parent
JOBS = 100_000


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder: they need a browser."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[ClientConnection]:
    """Have a browser."""
    if chromium.PROGRAM is None:
        if os.environ.get("CAF_CLUSTERS") == "required":
            pytest.fail("there is no chromium: sh tests/packages.sh installs it")
        pytest.skip("there is no chromium: sh tests/packages.sh installs it")
    with chromium.browser() as socket:
        yield socket


@pytest.fixture
def tab(browser: ClientConnection) -> Iterator[Tab]:
    """Have a new tab, on a screen of ordinary size."""
    with chromium.tab(browser) as new:
        new.screen(1280, 900)
        yield new


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/index.html"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def _whole(one: Press) -> None:
    """Have rounds until nothing is left to be written."""
    while (await one.report()).again_in is not None:
        pass


async def _season(folder: Path) -> None:
    async with press(folder, now=time.time()) as one:
        await season(one)
        await one.database.call(around, time.time())
        await _whole(one)


@pytest.fixture(scope="session")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the page's folder after a busy season, with all that can ask for a person today."""
    folder = tmp_path_factory.mktemp("season")
    asyncio.run(_season(folder))
    return folder / "www"


def _recent_only(conn: sqlite3.Connection) -> None:
    """Leave the pages of old runs out: nobody opens them here, and they take a while."""
    conn.execute("UPDATE page SET written = changes WHERE kind = 'details' AND number < 349900 / 32")


async def _crowd(folder: Path) -> None:
    async with press(folder, CONFIGURATION + 'keep = "0s"\n', now=time.time()) as one:
        await one.database.call(lambda conn: conn.execute("PRAGMA synchronous = OFF").close())
        await one.database.call(many, one.house.configuration_id, JOBS, time.time(), trail=False)
        await one.database.call(_recent_only)
        await _whole(one)


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the page's folder with a hundred thousand jobs."""
    folder = tmp_path_factory.mktemp("crowd")
    asyncio.run(_crowd(folder))
    return folder / "www"


@pytest.fixture
def address(busy: Path) -> Iterator[str]:
    """Give where the busy season is served."""
    with served(busy) as found:
        yield found


@pytest.fixture
def crowded(crowd: Path) -> Iterator[str]:
    """Give where the hundred thousand jobs are served."""
    with served(crowd) as found:
        yield found


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Give where pictures are kept: the folder that CAF_PICTURES names, for people to look at."""
    kept = Path(os.environ.get("CAF_PICTURES") or tmp_path)
    kept.mkdir(exist_ok=True)
    return kept

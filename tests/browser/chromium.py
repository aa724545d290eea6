"""A real Chromium without a screen, asked by its own DevTools protocol."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 20.0  # s
OPTIONS = (
    *("--headless=new", "--remote-debugging-port=0", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio"),
)


class Tab:
    """One tab. What its scripts complain of is kept in `complaints`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Have a command done."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._socket.recv(timeout=PATIENCE))
            if told.get("id") == self._number:
                assert "error" not in told, f"{method}: {told['error']}"
                return told["result"]  # type: ignore[no-any-return]  # JSON
            self._note(told)

    def _note(self, told: dict[str, Any]) -> None:
        about = told.get("params", {})
        match told.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(str(about["exceptionDetails"].get("exception", {}).get("description")))
            case "Log.entryAdded" if about["entry"]["level"] == "error":
                self.complaints.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
            case "Page.javascriptDialogOpening":
                self.complaints.append(f"a dialog: {about['message']}")

    def open(self, address: str) -> None:
        """Go to an address, and wait until it is loaded."""
        self.ask("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        """Give what an expression of JavaScript comes to; a promise is waited for."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.value(f"!!({expression})"):
            assert time.monotonic() < end, f"never true: {expression}\n{self.complaints}\n{self.text()[:2000]}"
            time.sleep(0.05)

    def text(self, where: str = "body") -> str:
        """Give the text that a reader sees there."""
        return str(self.value(f"document.querySelector({json.dumps(where)}).innerText"))

    def screen(self, width: int, height: int, *, dark: bool = False) -> None:
        """Have a screen of another size, in light or dark colours."""
        phone = width < 600
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def without_script(self) -> None:
        """Run no script from now on."""
        self.ask("Emulation.setScriptExecutionDisabled", value=True)

    def document(self) -> str:
        """Give the page as HTML; this also works where no script runs. Nothing while another page comes."""
        root = self.ask("DOM.getDocument", depth=0)["root"]["nodeId"]
        try:
            return str(self.ask("DOM.getOuterHTML", nodeId=root)["outerHTML"])
        except AssertionError:  # it came between the two questions
            return ""

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Keep a screenshot, of the whole page or of what the screen shows."""
        found = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def browser() -> Iterator[ClientConnection]:
    """Have a browser, with a folder of its own."""
    assert PROGRAM is not None
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as home:
        rights = ["--no-sandbox"] if os.geteuid() == 0 else []  # its sandbox is not for root
        command = [PROGRAM, *OPTIONS, *rights, f"--user-data-dir={home}", "about:blank"]
        log = Path(home) / "said"
        with log.open("wb") as said:
            process = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
        try:
            end = time.monotonic() + PATIENCE
            while not (found := re.search(r"DevTools listening on (ws://\S+)", log.read_text(errors="replace"))):
                alive = process.poll() is None and time.monotonic() < end
                assert alive, log.read_text(errors="replace")[-2000:]
                time.sleep(0.05)
            with connect(found[1], max_size=None) as socket:
                yield socket
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def tab(socket: ClientConnection) -> Iterator[Tab]:
    """Have a new tab of a browser."""
    ask = Tab.__new__(Tab)
    ask._socket, ask._number, ask.complaints = socket, 0, []
    target = ask.ask("Target.createTarget", url="about:blank")["targetId"]
    address = f"ws://{socket.remote_address[0]}:{socket.remote_address[1]}/devtools/page/{target}"
    try:
        with connect(address, max_size=None) as own:
            yield Tab(own)
    finally:
        ask.ask("Target.closeTarget", targetId=target)

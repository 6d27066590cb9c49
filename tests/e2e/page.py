"""The page in a real browser: Debian's Chromium, a microphone that hears a file, and whatever the page should not do, noted."""

import asyncio
import re
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Final

import httpx
import msgspec
import pytest
from granian.constants import Interfaces
from granian.server.embed import Server
from playwright.sync_api import Browser, Page, sync_playwright

from app.domain.ports import Recognizer
from app.entrypoints.app import create_app
from app.settings import Settings
from bench.service import free_port
from tests.app.service import PATIENCE_S, make_container

ARTIFACTS: Final = Path(__file__).parents[2] / "test-artifacts" / "page"
PATIENCE_MS: Final = 30_000
REFUSED: Final = re.compile(r"console: Failed to load resource: the server responded with a status of (\d+)")


class Visit(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One tab at the page. `faults`: what the console said, errors of scripts, requests to other hosts."""

    page: Page
    faults: list[str]

    def screenshot(self, name: str) -> None:
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)

    def upload(self, name: str, content: bytes, *, kind: str = "audio/wav") -> None:
        self.page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": content})

    def drag(self, event: str, *files: tuple[str, bytes]) -> None:
        """Let files that are dragged, by name and content, cause an event, such as `drop`, on whatever is shown."""
        transfer = self.page.evaluate_handle(
            """(files) => {
                const transfer = new DataTransfer();
                for (const [name, base64] of files)
                    transfer.items.add(new File([Uint8Array.from(atob(base64), (byte) => byte.charCodeAt())], name));
                return transfer;
            }""",
            [(name, b64encode(content).decode()) for name, content in files],
        )
        self.page.dispatch_event("main", event, {"dataTransfer": transfer})

    def wait_until_done(self) -> None:
        self.page.wait_for_selector("#downloads", state="visible", timeout=PATIENCE_MS)

    def until(self, condition: str) -> None:
        """Wait until an expression is true; the page's policy forbids Playwright's way, which evaluates text again and again."""
        self.page.evaluate(f"""() => new Promise((resolve, reject) => {{
            const late = performance.now() + {PATIENCE_MS};
            const look = () => {{
                if ({condition}) resolve();
                else if (performance.now() > late) reject(new Error({condition!r} + " did not come true"));
                else setTimeout(look, 10);
            }};
            look();
        }})""")

    def text(self) -> str:
        return " ".join(self.page.locator("#transcript .sentence p").all_inner_texts())


@contextmanager
def chromium(microphone: Path) -> Iterator[Browser]:
    """Start the browser, without a window; its microphone hears the file once for each time it is opened."""
    found = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here (Debian: `apt-get install chromium`): the page cannot be tried")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=found,
            args=[
                "--no-sandbox",  # which a container's root cannot have
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={microphone}%noloop",
            ],
        )
        yield started
        started.close()


@contextmanager
def visiting(browser: Browser, url: str, *, dark: bool = False, width: int = 1000, forced_colors: bool = False) -> Iterator[Visit]:
    """Open the page in a tab of its own."""
    context = browser.new_context(
        color_scheme="dark" if dark else "light",
        forced_colors="active" if forced_colors else "none",
        viewport={"width": width, "height": 800},
    )
    page, faults = context.new_page(), list[str]()
    page.on("console", lambda message: faults.append(f"console: {message.text}") if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))
    page.on("request", lambda asked: None if asked.url.startswith((url, "blob:")) else faults.append(f"elsewhere: {asked.url}"))
    page.goto(url)
    try:
        yield Visit(page=page, faults=faults)
    finally:
        context.close()


@contextmanager
def listening(settings: Settings, load: Callable[[], Recognizer], *, ready: bool = True) -> Iterator[str]:
    """The application with fakes behind its ports, on a real socket of this process; gives its address."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    container = make_container(settings, load)
    server = Server(create_app(container), port=port, interface=Interfaces.ASGI, log_enabled=False)
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_until_complete, args=(server.serve(),))
    thread.start()
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=8), base_url=url) as client:  # it tries again while nobody listens
            client.get("/healthz")
        if ready:
            container.engine().loaded.result(PATIENCE_S)
        yield url
    finally:
        loop.call_soon_threadsafe(server.stop)
        thread.join(PATIENCE_S)
        loop.close()

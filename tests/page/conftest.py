"""A browser, a bridge to look at, and pages in it of any width and colour scheme."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from tests.console.scene import ORDERS, PAYMENTS, Scene
from tests.services.presence import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

SECONDS = 60_000  # milliseconds, as Playwright counts; nothing here takes as long
WIDE, NARROW = {"width": 1360, "height": 860}, {"width": 375, "height": 780}
MARKUP = '<img src="x" onerror="document.title = 1">'
ORDERED = 30


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Of a module, because while it is there its event loop runs, and no other one could."""
    path = shutil.which("chromium")
    if path is None:
        missing("chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path)
        yield running
        running.close()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Orders delivered, a payment parked, four dead letters, two of them full of markup; a quota as production has."""
    with Scene(tmp_path_factory.mktemp("page"), quota=True) as scene:
        scene.produce(ORDERS, *map(scene.order, range(ORDERED)), b"no JSON", scene.order(99, total=0))
        scene.produce(ORDERS, {"type": "order.created", "order_id": MARKUP, "total": 3}, {"type": MARKUP})
        scene.until("/rules", lambda seen: seen["rules"][1]["outcomes"].get("delivered") == ORDERED)
        scene.produce(PAYMENTS, {"type": "payment.received", "order_id": 777, "amount": 5})
        scene.until("/overview", lambda seen: seen["backlog"]["parked"] == 1 and seen["backlog"]["dead_letters"] == 4)
        yield scene


class Pages:
    """Opens pages; afterwards none of them may have met an error, or asked another host for anything."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.troubles: list[str] = []

    @contextmanager
    def open(self, url: str, scheme: str = "light", viewport: dict[str, int] | None = None) -> Iterator[Page]:
        """A page of its own, with nothing stored."""
        context = self._browser.new_context(viewport=viewport or WIDE, color_scheme=scheme)  # type: ignore[arg-type]  # light, dark
        context.set_default_timeout(SECONDS)
        page = context.new_page()
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("console", lambda told: self._heard(told.type, told.text))
        page.on("request", lambda request: self._asked(request.url, url))
        page.goto(url)
        try:
            yield page
        finally:
            context.close()

    def _heard(self, kind: str, text: str) -> None:
        # A refusal is logged by the browser itself; that one is told to the person is what tests look at.
        if kind in {"error", "warning"} and "status of" not in text:
            self.troubles.append(text)

    def _asked(self, asked: str, url: str) -> None:
        if not asked.startswith(url.partition("#")[0].rstrip("/")):
            self.troubles.append(f"asked for {asked}")


@pytest.fixture
def pages(browser: Browser) -> Iterator[Pages]:
    """See Pages."""
    made = Pages(browser)
    yield made
    assert made.troubles == []


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are kept: the folder that SCREENSHOTS_DIR names, or a temporary one."""
    named = os.environ.get("SCREENSHOTS_DIR")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder

"""A real Chromium that looks at a real gateway; whatever a page must never do fails the test that it did it in."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.pacing import PATIENCE

expect.set_options(timeout=PATIENCE * 1000)

REQUIRED = "SANDGATE_REQUIRE_BROWSER"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> str:
    """Where Chromium is; without one the test is skipped on a laptop and fails where a browser is required."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    if os.environ.get(REQUIRED):
        pytest.fail(f"{REQUIRED} is set and there is no {' or '.join(NAMES)}", pytrace=False)
    pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")


@asynccontextmanager
async def browse(url: str, *, allowed: str = "nothing is allowed", **context: Any) -> AsyncIterator[Page]:
    """Open a page whose addresses begin at `url`; complaints on the console that hold `allowed` are let pass."""
    complaints: list[str] = []
    origin = url.rstrip("/")
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        tab = await browser.new_context(base_url=origin, **context)
        page = await tab.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("console", lambda told: complaints.append(f"console: {told.text}") if told.type == "error" else None)
        page.on("request", lambda asked: complaints.extend(find_outside(asked.url, origin)))
        try:
            yield page
        finally:
            await browser.close()
    left = [complaint for complaint in complaints if allowed not in complaint]
    assert not left, left


def find_outside(url: str, origin: str) -> list[str]:
    return [] if url.startswith((f"{origin}/", "data:", "blob:", "about:")) else [f"outside: {url}"]

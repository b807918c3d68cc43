"""Everybody can use the page: what axe-core finds serious, and what a narrow screen must not do."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.conftest import serve
from tests.gateway.dashboard.browsing import browse
from tests.gateway.dashboard.stand_in import StandIn
from tests.gateway.dashboard.test_page import chat
from tests.gateway.serving import gateway

pytestmark = pytest.mark.anyio

AXE = (Path(__file__).parents[2] / "data" / "axe.min.js").read_text("utf-8")
SECTIONS = ("overview", "log", "playground", "connect")


async def find_violations(page: Page) -> list[str]:
    await page.evaluate(f"{AXE}; undefined")
    found: dict[str, Any] = await page.evaluate("axe.run(document, {resultTypes: ['violations'], iframes: false})")
    return [
        f"{one['id']} ({one['impact']}): {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious(tmp_path: Path, scheme: str) -> None:
    stand_in = StandIn()
    stand_in.go_on.set()
    async with serve(stand_in.app) as url, gateway(tmp_path, EXECUTOR_URL=url) as client:
        await chat(client)
        await chat(client, "openai:gpt-4o")
        async with browse(str(client.base_url), color_scheme=scheme) as page:
            found = []
            for section in SECTIONS:
                await page.goto(f"/#/{section}")
                await expect(page.locator("#live-text")).to_have_text("live")
                if section == "playground":
                    await page.fill("#chat-text", "hello")
                    await page.keyboard.press("Enter")
                    await page.click("#code-run")
                    await expect(page.locator("#outcome .state")).to_have_text("ok")
                if section == "connect":
                    await expect(page.locator("#configuration")).to_contain_text("openai")
                found += await find_violations(page)
            await page.goto("/#/log")
            await page.locator("#calls tbody button").first.click()
            await expect(page.locator("#detail-body dl")).to_be_visible()
            found += await find_violations(page)
    assert found == []


@pytest.mark.parametrize("width", [375, 768])
async def test_a_narrow_screen_is_never_scrolled_sideways(tmp_path: Path, width: int) -> None:
    async with gateway(tmp_path) as client:
        await chat(client, f"stub:{'a-very-long-name-of-a-model' * 8}")
        async with browse(str(client.base_url), viewport={"width": width, "height": 800}) as page:
            for section in SECTIONS:
                await page.goto(f"/#/{section}")
                await expect(page.locator("#live-text")).to_have_text("live")
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, section


async def test_all_sections_are_reached_by_keyboard(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client, browse(str(client.base_url)) as page:
        await page.goto("/")
        for _ in range(20):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.textContent") == "Playground":
                break
        await page.keyboard.press("Enter")
        await expect(page.locator("#playground")).to_be_visible()
        await page.locator("#editor .cm-content").focus()
        await page.keyboard.press("Escape")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.id") == "code-image"

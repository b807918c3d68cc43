"""The dashboard in a real browser: it shows what is, moves as things happen, and nothing that it shows can act."""

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from playwright.async_api import Page, expect

from tests.conftest import serve
from tests.gateway.dashboard.browsing import browse
from tests.gateway.dashboard.stand_in import StandIn
from tests.gateway.serving import gateway
from tests.secret_watch import MARK

pytestmark = pytest.mark.anyio

KEY = f"sk-the-{MARK}-of-these-tests"
SECRET = f"{MARK}, a secret of at least thirty-two bytes"
HOSTILE = "<img src=x onerror=window.hacked=1>"


@asynccontextmanager
async def house(folder: Path, *argv: str, **environ: str) -> AsyncIterator[tuple[httpx.AsyncClient, str, StandIn]]:
    stand_in = StandIn()
    async with serve(stand_in.app) as executor, gateway(folder, *argv, EXECUTOR_URL=executor, **environ) as client:
        yield client, str(client.base_url), stand_in


async def chat(client: httpx.AsyncClient, model: str = "stub:stub", **headers: str) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": f"hello {HOSTILE}"}], "stream": True}
    await client.post("/v1/chat/completions", json=body, headers=headers)


def tile(page: Page, name: str) -> Any:
    return page.locator("#tiles .tile").filter(has_text=name).locator("strong")


async def test_figures_appear_and_move_while_traffic_runs(tmp_path: Path) -> None:
    async with house(tmp_path) as (client, url, _), browse(url) as page:
        await page.goto("/")
        await expect(page.locator("#verdict")).to_have_text("All is well")
        await expect(page.locator("#live-text")).to_have_text("live")
        await expect(tile(page, "Requests")).to_have_text("0")
        for _ in range(3):
            await chat(client)
        await expect(tile(page, "Requests")).to_have_text("3")
        for _ in range(2):
            await chat(client)
        await expect(tile(page, "Requests")).to_have_text("5")
        await expect(tile(page, "First token")).to_have_text(re.compile(r"\d m?s"))
        await expect(page.locator("#providers tr.provider")).to_contain_text(["stub"])
        await expect(page.locator("#chart-requests")).to_have_attribute("aria-label", re.compile(r"highest [1-9]"))
        assert await page.locator("#chart-requests canvas").evaluate(PAINTED)


PAINTED = """canvas => {
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return data.some((value, at) => at % 4 === 3 && value > 0);
}"""


async def test_a_provider_and_a_model_can_be_looked_at_by_themselves(tmp_path: Path) -> None:
    async with house(tmp_path) as (client, url, _), browse(url) as page:
        await chat(client)
        await chat(client, "stub:echo")
        await chat(client, "stub:echo")
        await page.goto("/")
        await expect(tile(page, "Requests")).to_have_text("3")
        await page.select_option("#scope", label="stub: echo")
        await expect(tile(page, "Requests")).to_have_text("2")
        await page.select_option("#window", "1h")
        await expect(page.locator("#scope")).to_have_value('["stub","echo"]')


async def test_what_failed_is_told_with_its_reason(tmp_path: Path) -> None:
    async with house(tmp_path) as (client, url, _), browse(url) as page:
        await page.goto("/")
        await expect(page.locator("#live-text")).to_have_text("live")
        await chat(client, "openai:gpt-4o")
        await expect(page.locator("#failures")).to_contain_text("OPENAI_API_KEY")
        await expect(tile(page, "Error rate")).to_have_text("100 %")
        await page.locator("#failures button").click()
        await expect(page.locator("#detail")).to_contain_text("openai")


async def test_an_executor_that_is_away_is_the_first_thing_seen(tmp_path: Path) -> None:
    async with gateway(tmp_path) as client, browse(str(client.base_url)) as page:
        await page.goto("/")
        await expect(page.locator("#verdict")).to_have_text("Something needs attention")
        await expect(page.locator("#verdict-detail")).to_contain_text("executor")


async def test_the_executor_shows_ready_sandboxes_and_what_is_running(tmp_path: Path) -> None:
    async with house(tmp_path) as (_, url, _), browse(url) as page:
        await page.goto("/")
        await expect(page.locator("[data-ready=base]")).to_have_text("4 of 4")
        await expect(page.locator("#executor")).to_contain_text("exec_9")
        assert await page.evaluate("window.hacked") is None


async def test_the_log_grows_live_and_its_filters_leave_what_matches(tmp_path: Path) -> None:
    async with house(tmp_path) as (client, url, _), browse(url) as page:
        await chat(client)
        await page.goto("/#/log")
        rows = page.locator("#calls tbody tr")
        await expect(rows).to_have_count(1)
        await chat(client, "stub:echo")
        await chat(client, "openai:gpt-4o")
        await expect(rows).to_have_count(3)
        await page.select_option("#filters [name=status]", "error")
        await expect(rows).to_have_count(1)
        await chat(client)  # does not match, and must not come in live
        await chat(client, "openai:gpt-4o")
        await expect(rows).to_have_count(2)
        await page.locator("#filters [type=reset]").click()
        await expect(rows).to_have_count(5)
        await page.fill("#filters [name=q]", "echo")
        await expect(rows).to_have_count(1)
        await page.fill("#filters [name=q]", "no such thing")
        await expect(page.locator("#calls-empty")).to_have_text("No call matches these filters.")


async def test_a_hostile_entry_stays_text_wherever_it_is_shown(tmp_path: Path) -> None:
    async with house(tmp_path, LOG_BODIES="true") as (client, url, _), browse(url) as page:
        await chat(client, f"stub:{HOSTILE}")
        await chat(client, f"ghost-{HOSTILE}")
        await client.post(
            "/llm",
            json={"type": "chat", "model": f"openai:{HOSTILE}", "messages": [{"role": "user", "content": HOSTILE}]},
        )
        await page.goto("/")
        await expect(page.locator("#providers")).to_contain_text(HOSTILE)
        await page.goto("/#/log")
        await expect(page.locator("#calls")).to_contain_text(HOSTILE)
        await page.locator("#calls tbody button").first.click()
        await expect(page.locator("#detail-body")).to_contain_text(HOSTILE)
        assert await page.locator("img[src=x]").count() == 0
        assert await page.evaluate("window.hacked") is None


async def test_a_call_opens_by_keyboard_and_closes_again(tmp_path: Path) -> None:
    async with house(tmp_path) as (client, url, _), browse(url) as page:
        await chat(client)
        await page.goto("/#/log")
        await page.locator("#calls tbody button").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#detail")).to_be_visible()
        await expect(page.locator("#detail-body")).to_contain_text("req_")
        await page.keyboard.press("Escape")
        await expect(page.locator("#detail")).to_be_hidden()


async def test_the_log_is_cleared_after_asking(tmp_path: Path) -> None:
    async with house(tmp_path) as (client, url, _), browse(url) as page:
        await chat(client)
        await page.goto("/#/log")
        await expect(page.locator("#calls tbody tr")).to_have_count(1)
        page.once("dialog", lambda dialog: dialog.accept())
        await page.click("#log-clear")
        await expect(page.locator("#calls tbody tr")).to_have_count(0)


NOTE_LENGTHS = """() => {
  window.lengths = new Set();
  const note = () => window.lengths.add(document.querySelector('.turn.assistant .said')?.textContent.trim().length);
  new MutationObserver(note).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


async def test_a_chat_streams(tmp_path: Path) -> None:
    async with house(tmp_path) as (_, url, _), browse(url) as page:
        await page.goto("/#/playground")
        await page.fill("#chat-model", "stub:stub-slow")
        await page.evaluate(NOTE_LENGTHS)
        await page.fill("#chat-text", f"tell me {HOSTILE}")
        await page.keyboard.press("Enter")
        await expect(page.locator(".turn.assistant .foot")).to_contain_text("first token")
        await expect(page.locator(".turn.assistant .foot")).to_contain_text("in,")
        assert await page.evaluate("[...window.lengths].filter(length => length > 0).length") > 1
        await expect(page.locator(".turn.user .said")).to_have_text(f"tell me {HOSTILE}")
        assert await page.evaluate("window.hacked") is None


async def test_a_chat_that_fails_says_why(tmp_path: Path) -> None:
    async with house(tmp_path) as (_, url, _), browse(url, allowed="400") as page:
        await page.goto("/#/playground")
        await page.fill("#chat-model", "openai:gpt-4o")
        await page.fill("#chat-text", "hello")
        await page.click("#chat-send")
        await expect(page.locator(".turn.assistant .foot")).to_contain_text("OPENAI_API_KEY")


async def test_code_shows_its_output_while_it_runs_and_then_its_verdict(tmp_path: Path) -> None:
    async with house(tmp_path) as (_, url, stand_in), browse(url) as page:
        await page.goto("/#/playground")
        await expect(page.locator("#code-limits")).to_contain_text("At most 60 s")
        await page.fill("#code-timeout", "5")
        await page.click("#code-run")
        await expect(page.locator("#output .stdout")).to_contain_text(f"first line {HOSTILE[:8]}")
        await expect(page.locator("#outcome")).to_contain_text("running")
        stand_in.go_on.set()
        await expect(page.locator("#outcome .state")).to_have_text("ok")
        await expect(page.locator("#outcome")).to_contain_text("256 MB")
        await expect(page.locator("#output .stderr")).to_contain_text("a warning")
        await expect(page.locator("#output .result")).to_have_count(0)  # its table is shown
        picture = page.locator("#output img.shown")
        assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1
        frame = page.locator("#output iframe")
        await expect(frame.content_frame.locator("td")).to_have_text("cell")
        assert await frame.get_attribute("sandbox") == ""
        assert await page.evaluate("window.hacked") is None
    assert stand_in.jobs[0]["stream"] is True
    assert stand_in.jobs[0]["timeout_seconds"] == 5
    assert "squared" in stand_in.jobs[0]["code"]


async def test_code_runs_by_keyboard_and_stops(tmp_path: Path) -> None:
    async with house(tmp_path) as (_, url, stand_in), browse(url) as page:
        await page.goto("/#/playground")
        editor = page.locator("#editor .cm-content")
        await editor.click()
        await page.keyboard.press("Control+a")
        await page.keyboard.type("print('typed')")
        await page.keyboard.press("Control+Enter")
        await expect(page.locator("#output .stdout")).to_be_visible()
        await page.click("#code-run")
        await expect(page.locator("#outcome")).to_contain_text("stopped")
        await expect(page.locator("#code-run")).to_have_text("Run")
    assert stand_in.jobs[0]["code"] == "print('typed')"


async def test_with_auth_on_it_asks_for_a_key_and_keeps_it_in_this_tab_only(tmp_path: Path) -> None:
    async with house(tmp_path, "--key", KEY) as (client, url, _), browse(url, allowed="401") as page:
        await chat(client, authorization=f"Bearer {KEY}")
        await page.goto("/")
        await page.fill("#credential", "sk-a-wrong-one")
        await page.keyboard.press("Enter")
        await expect(page.locator("#sign-in-error")).to_contain_text("does not know")
        await page.fill("#credential", KEY)
        await page.keyboard.press("Enter")
        await expect(tile(page, "Requests")).to_have_text("1")
        await page.reload()
        await expect(tile(page, "Requests")).to_have_text("1")
        kept = await page.evaluate("[JSON.stringify(sessionStorage), JSON.stringify(localStorage), document.cookie]")
        assert KEY in kept[0]
        assert KEY not in kept[1] + kept[2]
        assert KEY not in page.url
        await page.goto("/#/connect")
        assert KEY not in await page.locator("body").inner_text()
        await page.click("#sign-out")
        await expect(page.locator("#sign-in")).to_be_visible()
        assert KEY not in await page.evaluate("JSON.stringify(sessionStorage)")


async def test_a_token_without_admin_may_still_use_the_playground(tmp_path: Path) -> None:
    token = jwt.encode({"sub": "ann", "exp": time.time() + 300}, SECRET, "HS256")
    async with house(tmp_path, "--enable-auth", JWT_SECRET=SECRET) as (_, url, _), browse(url, allowed="403") as page:
        await page.goto("/#/playground")
        await page.fill("#credential", token)
        await page.keyboard.press("Enter")
        await expect(page.locator("#notice")).to_contain_text("admin")
        await page.fill("#chat-model", "stub:stub")
        await page.fill("#chat-text", "hello")
        await page.click("#chat-send")
        await expect(page.locator(".turn.assistant .foot")).to_contain_text("first token")


async def test_snippets_name_this_gateway_and_no_key(tmp_path: Path) -> None:
    async with house(tmp_path) as (_, url, _), browse(url) as page:
        await page.goto("/#/connect")
        await expect(page.locator("#bases")).to_contain_text(f"{url.rstrip('/')}/v1")
        for language, word in (("curl", "curl"), ("python", "OpenAI("), ("javascript", "new OpenAI(")):
            await page.select_option("#snippet-language", language)
            await expect(page.locator("#snippet")).to_contain_text(word)
            await expect(page.locator("#snippet")).to_contain_text(url.rstrip("/"))
        await expect(page.locator("#configuration")).to_contain_text("https://api.openai.com/v1")


async def test_the_theme_follows_the_system_until_one_is_chosen(tmp_path: Path) -> None:
    async with house(tmp_path) as (_, url, _), browse(url, color_scheme="dark") as page:
        await page.goto("/")
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = await page.evaluate(ground)
        await page.click("#theme")
        await expect(page.locator("#theme")).to_have_text("Theme: light")
        light = await page.evaluate(ground)
        await page.reload()
        assert await page.evaluate(ground) == light != dark


@pytest.mark.parametrize(("path", "shown"), [("/docs", "POST"), ("/redoc", "Run Python")])
async def test_the_docs_are_drawn_from_packaged_files_alone(tmp_path: Path, path: str, shown: str) -> None:
    async with house(tmp_path) as (_, url, _), browse(url) as page:
        await page.goto(path)
        if path == "/docs":
            await page.get_by_text("One shape", exact=True).click()
        await expect(page.locator("body")).to_contain_text(shown)

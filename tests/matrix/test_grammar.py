"""Every dialect × every provider over HTTP: whatever is said, thought or called, each stream keeps to its grammar."""

import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.gateway.serving import GATEWAY_KEY, Town
from tests.grammar.probes import WISHES, Probe, make_probes
from tests.matrix.test_matrix import PROVIDERS

pytestmark = pytest.mark.anyio

PROBES = {probe.name: probe for probe in make_probes()}
PLACES = {"text": 0, "tools": 1, "thought": 2}
TEXTS = st.text(min_size=1, max_size=60).filter(str.strip)


async def fetch(place: Town, probe: Probe, model: str, said: str, wish: str) -> bytes:
    answer = await place.client.post(probe.path, json=probe.write(model, said, wish), headers=dict(probe.headers))
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("name", PROBES)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said=TEXTS, wish=st.sampled_from(WISHES))
@example(said="zażółć 🦆\n\ndata: [DONE]\r\n\u2028{", wish="text")
@example(said="two\n\nparagraphs", wish="thought")
@example(said="call it", wish="tools")
async def test_each_event_of_each_stream_keeps_to_the_grammar(
    place: Town, name: str, provider: str, said: str, wish: str
) -> None:
    model = f"{provider}:{PROVIDERS[provider][PLACES[wish]]}"
    stream = await fetch(place, PROBES[name], model, said, wish)
    assert PROBES[name].check(stream) == []


@pytest.mark.parametrize("provider", [name for name in PROVIDERS if name != "stub"])
@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize(("pieces", "abort"), [(0, True), (2, True), (2, False)])
async def test_a_stream_that_the_provider_cuts_short_ends_with_an_error_in_its_own_grammar(
    place: Town, name: str, provider: str, pieces: int, abort: bool
) -> None:
    fake = place.fakes[provider]
    fake.cut_after, fake.abort = pieces, abort
    try:
        model = f"{provider}:{PROVIDERS[provider][0]}"
        probe = PROBES[name]
        body = probe.write(model, "one two three four", "text")
        answer = await place.client.post(probe.path, json=body, headers=dict(probe.headers))
    finally:
        place.clear()
    if answer.status_code == 200:
        assert probe.check(answer.content) == []
        assert b"error" in answer.content.rstrip().split(b"\n")[-1]
        assert b"[DONE]" not in answer.content
    else:
        assert answer.status_code in (502, 503)
        assert "error" in answer.json()


async def test_the_checker_can_be_pointed_at_any_gateway(place: Town) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "scripts/grammar", place.url, "--model", "stub-tools", "--model", "ollama:llama3:8b"]
    environ = {**os.environ, "GATEWAY_ACCESS_KEY": GATEWAY_KEY}
    done = await anyio.run_process(command, cwd=root, env=environ, check=False, stderr=subprocess.STDOUT)
    told = done.stdout.decode()
    assert done.returncode == 0, told
    assert "36 streams, 0 violations" in told

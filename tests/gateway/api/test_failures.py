"""What can go wrong × the path that was asked: the status, what survives of it, and a body in the path's dialect."""

from pathlib import Path

import httpx
import jwt
import pytest

from tests.gateway.api.asking import BEARER, FAMILIES, Family
from tests.gateway.serving import PROVIDER_KEY, Town, gateway, town
from tests.secret_watch import MARK

pytestmark = pytest.mark.anyio
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)

SECRET = f"{MARK}, a secret of at least thirty-two bytes"
RATE_LIMITED = {"error": {"message": "Slow down.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}


async def ask(client: httpx.AsyncClient, family: Family, model: str, **headers: str) -> httpx.Response:
    return await client.post(family.path, json=family.write(model), headers={**BEARER, **headers})


@every_family
@pytest.mark.parametrize("body", [b"{", b'{"model": "a", "model": "b"}', b"\xff\xfe", b"[]", b""])
async def test_what_is_not_a_json_object_is_400(place: Town, family: Family, body: bytes) -> None:
    headers = {"content-type": "application/json", **BEARER}
    answer = await place.client.post(family.path, content=body, headers=headers)
    assert answer.status_code == 400
    family.read_error(answer)


@every_family
async def test_a_field_that_is_missing_is_named(place: Town, family: Family) -> None:
    whole = family.write("openai:gpt-4o-mini")
    for name in set(whole) - {"stream", "type"}:
        if (family.path, name) in (("/api/chat", "messages"), ("/api/generate", "prompt")):
            continue  # there a request without them is one to load the model
        body = {key: value for key, value in whole.items() if key != name}
        answer = await place.client.post(family.path, json=body, headers=BEARER)
        if family.path == "/llm" and name == "model":
            continue  # it has a default there
        assert answer.status_code == 400, name
        assert name in family.read_error(answer)[0]
    assert place.openai.received == []


@every_family
async def test_a_model_that_the_provider_does_not_have_is_404(place: Town, family: Family) -> None:
    error = {"message": "The model `missing` does not exist.", "type": "invalid_request_error", "param": None}
    place.openai.fail(404, {"error": {**error, "code": "model_not_found"}}, times=2)
    answer = await ask(place.client, family, "openai:missing")
    assert answer.status_code == 404
    message, code = family.read_error(answer)
    assert "missing" in message
    assert code in ("model_not_found", None)


@every_family
async def test_a_wrong_method_is_405_and_says_which_is_right(place: Town, family: Family) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = await place.client.request(method, family.path)
        assert answer.status_code == 405
        assert "POST" in answer.headers["allow"]
        family.read_error(answer)


@every_family
async def test_a_body_that_is_not_declared_as_json_is_415(place: Town, family: Family) -> None:
    headers = {"content-type": "text/plain", "sec-fetch-site": "cross-site", **BEARER}
    answer = await place.client.post(family.path, content=b"{}", headers=headers)
    assert answer.status_code == 415
    family.read_error(answer)


@every_family
async def test_a_limit_of_the_providers_goes_through_with_its_retry_after(place: Town, family: Family) -> None:
    place.openai.fail(429, RATE_LIMITED, {"retry-after": "7", "x-request-id": "req_theirs"}, times=2)
    answer = await ask(place.client, family, "openai:gpt-4o-mini")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-provider-request-id"] == "req_theirs"
    message, code = family.read_error(answer)
    assert message == "Slow down."
    assert code in ("rate_limit_exceeded", None)


@every_family
@pytest.mark.parametrize(("theirs", "ours"), [(400, 400), (413, 413), (500, 502), (502, 502), (503, 503), (529, 529)])
async def test_a_providers_status_becomes_ours(place: Town, family: Family, theirs: int, ours: int) -> None:
    place.openai.fail(theirs, {"error": {"message": "So it is.", "type": "some_error", "code": None}}, times=2)
    answer = await ask(place.client, family, "openai:gpt-4o-mini")
    assert answer.status_code == ours
    assert "So it is." in family.read_error(answer)[0]


@every_family
async def test_refused_credentials_are_502_and_never_shown(place: Town, family: Family) -> None:
    place.openai.key = "sk-another"
    try:
        answer = await ask(place.client, family, "openai:gpt-4o-mini")
    finally:
        place.openai.key = PROVIDER_KEY
    assert answer.status_code == 502
    family.read_error(answer)
    assert PROVIDER_KEY not in answer.text
    assert "127.0.0.1" not in answer.text


@every_family
@pytest.mark.parametrize("body", [b"<html>oh</html>", b"", b"{}", b'{"choices": []}', b"\xff"])
async def test_an_answer_that_holds_nothing_is_502(place: Town, family: Family, body: bytes) -> None:
    place.openai.fail(200, body, times=2)
    answer = await ask(place.client, family, "openai:gpt-4o-mini")
    assert answer.status_code == 502
    assert family.read_error(answer)[1] in ("invalid_upstream_response", None)
    assert "oh" not in answer.text.replace("whole", "")


@every_family
async def test_a_provider_that_is_not_there_is_503(place: Town, family: Family) -> None:
    answer = await ask(place.client, family, "down:model")
    assert answer.status_code == 503
    assert family.read_error(answer)[1] in ("upstream_unreachable", None)
    assert "127.0.0.1" not in answer.text


@every_family
async def test_a_provider_that_takes_too_long_is_504(place: Town, family: Family) -> None:
    place.fakes["compat"].pause_before = 100
    answer = await ask(place.client, family, "slow:some-model")
    assert answer.status_code == 504
    assert family.read_error(answer)[1] in ("upstream_timeout", None)


@every_family
async def test_a_sane_request_id_is_kept_and_goes_upstream(place: Town, family: Family) -> None:
    kept = await ask(place.client, family, "openai:gpt-4o-mini", **{"x-request-id": "my-id.1_2"})
    fresh = await ask(place.client, family, "openai:gpt-4o-mini", **{"x-request-id": "not sane"})
    assert kept.headers["x-request-id"] == "my-id.1_2"
    assert fresh.headers["x-request-id"] not in ("not sane", "my-id.1_2")
    ids = {request.headers["x-request-id"] for request in place.openai.received}
    assert ids == {"my-id.1_2", fresh.headers["x-request-id"]}


async def test_who_may_not_is_401_or_403_in_each_dialect(tmp_path: Path) -> None:
    narrow = jwt.encode({"sub": "ann", "exp": 2**33, "scope": "execute"}, SECRET, "HS256")
    async with town(tmp_path, "--enable-auth", JWT_SECRET=SECRET) as place:
        for family in FAMILIES.values():
            nobody = await place.client.post(family.path, json=family.write("stub"))
            wrong = await ask(place.client, family, "stub", authorization="Bearer sk-wrong")
            scoped = await ask(place.client, family, "stub", authorization=f"Bearer {narrow}")
            assert [nobody.status_code, wrong.status_code, scoped.status_code] == [401, 401, 403], family.path
            assert nobody.headers["www-authenticate"] == wrong.headers["www-authenticate"] == "Bearer"
            for answer in (nobody, wrong, scoped):
                family.read_error(answer)
        assert all(fake.received == [] or fake.last.path.endswith(("models", "tags")) for fake in place.fakes.values())


async def test_a_body_that_is_too_large_is_413_in_each_dialect(tmp_path: Path) -> None:
    async def endless() -> object:
        for _ in range(100):
            yield b" " * 100

    async with gateway(tmp_path, MAX_REQUEST_BYTES="1000") as client:
        headers = {"content-type": "application/json", **BEARER}
        for family in FAMILIES.values():
            declared = await client.post(family.path, content=b" " * 2000, headers=headers)
            counted = await client.post(family.path, content=endless(), headers=headers)
            assert [declared.status_code, counted.status_code] == [413, 413], family.path
            family.read_error(declared)
            family.read_error(counted)


async def test_an_unknown_path_is_404_in_the_dialect_of_its_neighbours(place: Town) -> None:
    for path in ("/nothing", "/api/nothing", "/llm/x"):
        answer = await place.client.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"] == "Not Found"

from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.masking import MASK, mask, masked

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.abcDEF_123-xyz"


def test_a_registered_secret_is_hidden_wherever_it_stands():
    mask("correct horse battery")
    assert masked("the key is 'correct horse battery'!") == f"the key is '{MASK}'!"


def test_a_registered_secret_is_hidden_in_its_url_spelling():
    mask("pass/word+1&2")
    assert "word" not in masked("https://host/?x=pass%2Fword%2B1%262")


def test_the_longer_of_two_secrets_is_hidden_whole():
    mask("prefix-secret")
    mask("prefix-secret-and-more")
    assert masked("prefix-secret-and-more") == MASK


def test_short_values_do_not_blank_out_words():
    mask("ok")
    mask(None)
    assert masked("all ok") == "all ok"


def test_what_looks_like_a_secret_is_hidden_without_being_registered():
    for secret in ("sk-proj-abcdefgh12345678", "AIza" + "x" * 35, JWT):
        assert secret not in masked(f"it was {secret}, they say"), secret
    assert masked("Authorization: Bearer abcdef123456") == f"Authorization: Bearer {MASK}"
    assert masked("authorization: bearer abcdef123456") == f"authorization: bearer {MASK}"
    assert masked("GET /v1beta/models?key=hunter22&alt=sse") == f"GET /v1beta/models?key={MASK}&alt=sse"


def test_ordinary_words_stay():
    for text in ("a task-runner and risk-averse people", "bearer", "model gpt-4o answered", "monkey=banana"):
        assert masked(text) == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=6, max_size=60), st.text(), st.text())
def test_no_registered_secret_survives(secret, before, after):
    mask(secret)
    left = masked(before + secret + after)
    assert secret not in left or secret in MASK * 3 or secret in before + MASK + after

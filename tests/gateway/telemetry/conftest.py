import pytest

from gateway.telemetry import masking, records


@pytest.fixture(autouse=True)
def _no_secrets_registered(monkeypatch):
    """Secrets registered by one test must not blank out the words of another."""
    monkeypatch.setattr(masking, "_registered", {})
    monkeypatch.setattr(masking, "_spellings", ())
    records._labels.cache_clear()
    yield
    records._labels.cache_clear()

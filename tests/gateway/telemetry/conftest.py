import pytest

from gateway.telemetry import masking
from tests.gateway.telemetry.call_log import opened


@pytest.fixture(autouse=True)
def _no_secrets_registered(monkeypatch):
    """Secrets registered by one test must not blank out the words of another."""
    monkeypatch.setattr(masking, "_registered", {})
    monkeypatch.setattr(masking, "_spellings", ())
    masking.masked_label.cache_clear()
    yield
    masking.masked_label.cache_clear()


@pytest.fixture
async def log(tmp_path):
    """A call log that has started."""
    async with opened(tmp_path) as made:
        yield made

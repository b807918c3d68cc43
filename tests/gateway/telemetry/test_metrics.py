import os
import signal
import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry import metrics as metrics_module
from gateway.telemetry.metrics import Metrics

WORKER = """
import sys
from pathlib import Path
from gateway.telemetry.metrics import Metrics
metrics = Metrics(workers=2, folder=Path(sys.argv[1]), providers=["openai"])
metrics.know([("openai", "gpt-4o")])
for _ in range(10):
    metrics.request("POST", "/llm", 200, 0.02)
    metrics.llm("openai", "gpt-4o", 200, 0.02, 3)
metrics.stream_opened()
metrics.provider_rested("openai", True)
print("ready", flush=True)
sys.stdin.read()
metrics.stream_closed()
metrics.provider_rested("openai", False)
"""


def samples(page):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def value(page, name, **labels):
    return samples(page).get((name, *sorted(labels.items())))


@pytest.fixture
def metrics():
    made = Metrics(providers=["openai", "ollama"])
    made.know([("openai", "gpt-4o"), ("ollama", "llama3:8b")])
    return made


def test_the_contracts_names_and_labels_are_exposed(metrics):
    metrics.request("POST", "/llm", 200, 0.02)
    metrics.llm("openai", "gpt-4o", 502, 1.5, None, 0, 7)
    metrics.first_token("openai", "gpt-4o", 0.3)
    metrics.stream_opened()
    metrics.rate_limited("requests")
    metrics.execution("timeout", 10.0)
    metrics.storage_trouble()
    metrics.provider_rested("ollama", True)
    metrics.calls_dropped(4)
    page, target = metrics.expose(), {"provider": "openai", "model": "gpt-4o"}
    assert value(page, "http_requests_total", method="POST", path="/llm", status="200") == 1
    assert value(page, "http_request_duration_seconds_sum", method="POST", path="/llm", status="200") == 0.02
    assert value(page, "llm_requests_total", **target, status="502") == 1
    assert value(page, "llm_request_duration_seconds_count", **target) == 1
    assert value(page, "llm_tokens_total", **target, kind="cached") == 7
    assert value(page, "llm_tokens_total", **target, kind="prompt") is None
    assert value(page, "llm_time_to_first_token_seconds_bucket", **target, le="0.5") == 1
    assert value(page, "llm_streams_active") == 1
    assert value(page, "rate_limited_total", scope="requests") == 1
    assert value(page, "executions_total", status="timeout") == 1
    assert value(page, "execution_duration_seconds_count") == 1
    assert value(page, "rate_limit_storage_errors_total") == 1
    assert value(page, "llm_provider_resting", provider="ollama") == 1
    assert value(page, "call_log_dropped_total") == 4


def test_unknown_names_are_counted_as_other(metrics):
    for n in range(50):
        metrics.llm("openai", f"made-up-{n}", 200, 0.1, 1)
        metrics.llm(f"nobody-{n}", "gpt-4o", 200, 0.1)
        metrics.request(f"VERB{n}", "/llm", 200, 0.1)
        metrics.first_token("openai", f"made-up-{n}", 0.1)
        metrics.rate_limited(f"scope-{n}")
        metrics.execution(f"status-{n}", 0.1)
    page = metrics.expose()
    assert value(page, "llm_requests_total", provider="openai", model="other", status="200") == 50
    assert value(page, "llm_requests_total", provider="other", model="other", status="200") == 50
    assert value(page, "llm_tokens_total", provider="openai", model="other", kind="prompt") == 50
    assert value(page, "http_requests_total", method="other", path="/llm", status="200") == 50
    assert value(page, "rate_limited_total", scope="other") == 50
    assert value(page, "executions_total", status="other") == 50
    assert b"made-up" not in page
    assert b"nobody" not in page


def test_what_is_remembered_stays_bounded_whatever_clients_send(metrics, monkeypatch):
    monkeypatch.setattr(metrics_module, "MOST_MODELS", 3)
    monkeypatch.setattr(metrics_module, "MOST_PATHS", 3)
    metrics.know([("openai", f"model-{n}") for n in range(100)])
    for n in range(100):
        metrics.llm("openai", f"model-{n}", n, 0.1)
        metrics.request("GET", f"/path-{n}", 200, 0.1)
    models = {dict(key[1:]).get("model") for key in samples(metrics.expose()) if key[0] == "llm_requests_total"}
    paths = {dict(key[1:]).get("path") for key in samples(metrics.expose()) if key[0] == "http_requests_total"}
    assert len(models) == 4
    assert len(paths) == 4
    assert "other" in models & paths


def test_a_model_becomes_a_label_once_the_catalogue_names_it(metrics):
    metrics.llm("openai", "new", 200, 0.1)
    metrics.know([("openai", "new")])
    metrics.llm("openai", "new", 200, 0.1)
    page = metrics.expose()
    assert value(page, "llm_requests_total", provider="openai", model="other", status="200") == 1
    assert value(page, "llm_requests_total", provider="openai", model="new", status="200") == 1


def test_unknown_usage_counts_nothing(metrics):
    metrics.llm("openai", "gpt-4o", 200, 0.1, None, None, None)
    metrics.llm("openai", "gpt-4o", 200, 0.1)
    assert b"llm_tokens_total{" not in metrics.expose()


def test_two_apps_in_one_process_count_apart(metrics):
    other = Metrics(providers=["openai"])
    metrics.stream_opened()
    assert value(other.expose(), "llm_streams_active") == 0


def test_several_workers_need_a_shared_folder():
    with pytest.raises(ValueError, match="folder"):
        Metrics(workers=2)


@pytest.fixture
def shared(tmp_path):
    """Metrics of this process as one of several workers."""
    return Metrics(workers=2, folder=tmp_path, providers=["openai"])


def start_worker(folder):
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout.readline() == "ready\n"
    return worker


def test_the_figures_of_all_workers_are_added_up(shared, tmp_path):
    workers = [start_worker(tmp_path), start_worker(tmp_path)]
    shared.request("POST", "/llm", 200, 0.02)
    page = shared.expose()
    assert value(page, "http_requests_total", method="POST", path="/llm", status="200") == 21
    assert value(page, "llm_tokens_total", provider="openai", model="gpt-4o", kind="prompt") == 60
    assert value(page, "llm_request_duration_seconds_count", provider="openai", model="gpt-4o") == 20
    assert value(page, "llm_streams_active") == 2
    assert value(page, "llm_provider_resting", provider="openai") == 1
    for worker in workers:
        worker.communicate("")
    page = shared.expose()
    assert value(page, "llm_streams_active") == 0
    assert value(page, "http_requests_total", method="POST", path="/llm", status="200") == 21


def test_a_killed_workers_streams_are_forgotten_and_its_counts_kept(shared, tmp_path):
    worker = start_worker(tmp_path)
    assert value(shared.expose(), "llm_streams_active") == 1
    os.kill(worker.pid, signal.SIGKILL)
    worker.communicate()
    page = shared.expose()
    assert value(page, "llm_streams_active") == 0
    assert value(page, "http_requests_total", method="POST", path="/llm", status="200") == 10

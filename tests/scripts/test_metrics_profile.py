"""The profile `metrics` of compose.yaml: what its dashboard asks for is there, and nobody else can reach it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from executor.meters import Meters
from gateway.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "scripts/metrics"
DASHBOARD = json.loads((FOLDER / "grafana/sandgate.json").read_text())
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
NAME = re.compile(r"\b([a-z_]+)\{([^}]*)\}")


def told_by_the_gateway() -> dict[str, set[str]]:
    metrics = Metrics(providers=["stub"])
    metrics.request("GET", "/health", 200, 0.1)
    metrics.llm("stub", "stub", 200, 0.1, 1)
    metrics.first_token("stub", "stub", 0.1)
    metrics.rate_limited("requests")
    metrics.execution("ok", 0.1)
    metrics.provider_rested("stub", True)
    return labels_of(metrics.expose().decode())


def told_by_the_executor() -> dict[str, set[str]]:
    meters = Meters()
    for meter in (meters.pool_ready, meters.pool_target, meters.start_seconds, meters.start_failures):
        meter.labels("base")
    meters.executions.labels("ok")
    meters.refused.labels("queue_full")
    return labels_of(generate_latest(meters.registry).decode())


def labels_of(text: str) -> dict[str, set[str]]:
    """The labels of each series by its name, as Prometheus will know it."""
    return {
        sample.name: set(sample.labels) for family in text_string_to_metric_families(text) for sample in family.samples
    }


def expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


def test_every_metric_that_the_dashboard_names_exists_with_its_labels() -> None:
    told = {"gateway": told_by_the_gateway(), "executor": told_by_the_executor()}
    asked = [found for expression in expressions() for found in NAME.findall(expression)]
    assert len(asked) > 25
    for name, selector in asked:
        if name == "up":
            continue
        job = re.search(r'job="(\w+)"', selector)
        assert job, (name, selector)
        labels = set(re.findall(r"(\w+)(?:=~|!=|=)", selector))
        assert labels - {"job"} <= told[job[1]].get(name, set()), (name, selector, told[job[1]].get(name))
        assert name in told[job[1]], name


def test_what_the_dashboard_groups_by_are_labels() -> None:
    told = {**told_by_the_executor(), **told_by_the_gateway()}
    for expression in expressions():
        for grouped, name in re.findall(r"sum by \(([^)]*)\) \((?:rate\()?([a-z_]+)", expression):
            assert {label.strip() for label in grouped.split(",")} <= told[name], expression


def test_all_metrics_of_the_contract_are_drawn() -> None:
    drawn = "\n".join(expressions())
    for told in (told_by_the_gateway(), told_by_the_executor()):
        families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in told}
        left = {name for name in families if name not in drawn}
        assert left <= {"sandbox_start_failures_total", "sandbox_swept_total"}


def test_both_services_are_collected_where_compose_puts_them() -> None:
    jobs = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    assert {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs} == {
        "gateway": ["gateway:3500"],
        "executor": ["executor:3600"],
    }
    networks = set(COMPOSE["services"]["prometheus"]["networks"])
    for service in ("gateway", "executor"):
        assert networks & set(COMPOSE["services"][service]["networks"])


def test_the_dashboard_asks_the_source_that_is_set_up() -> None:
    (source,) = yaml.safe_load((FOLDER / "grafana/datasources.yaml").read_text())["datasources"]
    asked = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"] if "datasource" in panel}
    assert asked == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_it_starts_only_when_asked_for_and_only_this_machine_reaches_it(name: str) -> None:
    service: dict[str, Any] = COMPOSE["services"][name]
    assert service["profiles"] == ["metrics"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert not [volume for volume in service["volumes"] if "docker.sock" in volume or "secret" in volume]


def test_every_file_that_it_mounts_is_there() -> None:
    mounts = [volume for name in ("prometheus", "grafana") for volume in COMPOSE["services"][name]["volumes"]]
    files = [volume.partition(":")[0] for volume in mounts if volume.startswith("./")]
    assert len(files) == 4
    assert all((ROOT / file).is_file() for file in files)

from pathlib import Path
from typing import Any

import pytest
import yaml

from executor.settings import VARIABLES
from gateway.configuration.options import OPTIONS

ROOT = Path(__file__).parents[2]
# Fixed by compose.yaml or by the image: inside a container there is nothing to choose.
GATEWAY_FIXED = {"GATEWAY_PORT", "PROXY_PORT", "GATEWAY_HOST"}
EXECUTOR_FIXED = {"EXECUTOR_PORT", "EXECUTOR_HOST", "DOCKER_HOST"}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services: dict[str, Any] = compose["services"]
    return services


def passed_on(service: dict[str, Any]) -> set[str]:
    return {entry.partition("=")[0] for entry in service["environment"]}


def test_every_variable_of_the_gateway_is_passed_on_and_no_other(services: dict[str, Any]) -> None:
    known = {name for option in OPTIONS for name in option.environment}
    assert passed_on(services["gateway"]) == known - GATEWAY_FIXED


def test_every_variable_of_the_executor_is_passed_on_and_no_other(services: dict[str, Any]) -> None:
    known = {variable.name for variable in VARIABLES}
    assert passed_on(services["executor"]) == known - EXECUTOR_FIXED


def test_the_gateway_is_published_on_loopback_and_the_executor_nowhere(services: dict[str, Any]) -> None:
    assert services["gateway"]["ports"] == ["${GATEWAY_HOST:-127.0.0.1}:${GATEWAY_PORT:-3500}:3500"]
    assert "ports" not in services["executor"]


def test_only_the_executor_sees_the_docker_socket(services: dict[str, Any]) -> None:
    seeing = [name for name, service in services.items() if "docker.sock" in str(service.get("volumes", []))]
    assert seeing == ["executor"]


def test_no_secret_has_a_value_in_the_file(services: dict[str, Any]) -> None:
    for service in services.values():
        for entry in service.get("environment", []):
            name, equals, value = entry.partition("=")
            if any(word in name for word in ("SECRET", "KEY", "TOKEN")):
                assert not equals, name
                assert not value, name


@pytest.mark.parametrize("name", ["gateway", "executor", "sandbox-base", "sandbox-data"])
def test_every_service_is_read_only_and_without_privileges(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service

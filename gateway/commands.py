"""The commands that look at what a configuration leads to: `models` and `check`."""

import sys

from gateway.api.services import Services
from gateway.configuration import print_error
from gateway.configuration.report import without_password
from gateway.errors import GatewayError
from gateway.execution import ExecutorState
from gateway.routing.listing import list_models


async def print_models(services: Services, *, refresh: bool = False) -> int:
    """Print the catalogue, one `provider:model` a line; 1 when a provider that is shown could not be asked.

    Lists that are kept on disk and not too old are taken as they are, unless `refresh` wants all asked now. With
    --provider the others are not asked.
    """
    catalogue, shown = services.catalogue, services.settings.provider_filter
    only = None if shown is None else (shown,)
    try:
        outcomes = await (catalogue.refresh(only) if refresh else catalogue.fill(only))
        entries = list_models(services.settings, catalogue.listings, catalogue.owners)
    finally:
        await services.upstream.aclose()
    for line in dict.fromkeys(f"{entry.provider}:{entry.model}" for entry in entries):
        print(line)  # noqa: T201
    failed = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, GatewayError)}
    for name, error in failed.items():
        print_error(f"{name}: {error.message}")
    return 1 if failed else 0


async def check(services: Services) -> int:
    """Ask each configured provider for its models and the executor for its health, print a table; 1 if any fails."""
    settings = services.settings
    try:
        outcomes = await services.catalogue.refresh()
        executor = await services.executor.look()
    finally:
        await services.upstream.aclose()
    rows = [("NAME", "STATE", "ADDRESS", "WHAT IT SAYS")]
    for name, outcome in outcomes.items():
        address = without_password(settings.providers[name].base_url) or "built in"
        if isinstance(outcome, GatewayError):
            rows.append((name, "FAILED", address, outcome.message))
        else:
            rows.append((name, "ok", address, f"{outcome} model{'' if outcome == 1 else 's'}"))
    state, says = _judge(executor)
    rows.append(("executor", state, without_password(settings.executor_url), says))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        sys.stdout.write("  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[3]]))
        sys.stdout.write("\n")
    return 0 if all(row[1] == "ok" for row in rows[1:]) else 1


def _judge(executor: ExecutorState) -> tuple[str, str]:
    """Put into the table's words whether the executor can run code."""
    if not executor.reachable:
        return "FAILED", "not reachable: start it, or set EXECUTOR_URL"
    if executor.problem is not None:
        return "FAILED", f"unhealthy: {executor.problem}"
    if executor.ready_sandboxes is None:
        return "ok", "healthy"
    return "ok", f"{executor.ready_sandboxes} sandbox{'' if executor.ready_sandboxes == 1 else 'es'} ready"

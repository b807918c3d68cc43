"""The wired objects that handlers may use, as the app's typed context."""

from collections.abc import Mapping
from dataclasses import dataclass

from sanic import Request, Sanic
from sanic.config import Config

from executor.api.requests import Bounds
from executor.meters import Meters
from executor.pool import Pool
from executor.readiness import Readiness
from executor.runner import Runner
from executor.sandboxes.base import Engine
from executor.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """What `executor.app` wires together."""

    settings: Settings
    bounds: Bounds
    runner: Runner
    pools: Mapping[str, Pool]
    readiness: Readiness
    meters: Meters


class Context:
    """Holds what an app works with while it is served."""

    services: Services
    engine: Engine


App = Sanic[Config, Context]


def services_of(request: Request) -> Services:
    """Give the services of the app that a request came to."""
    services: Services = request.app.ctx.services
    return services

"""The one place where real objects are wired together."""

import asyncio
import contextlib

from sanic import Sanic
from sanic.application.state import ApplicationServerInfo
from sanic.config import Config
from sanic.http.constants import HTTP

from executor.admission import Admission
from executor.api import execute, health, metrics
from executor.api.errors import install_errors
from executor.api.guard import install_guard
from executor.api.requests import MAX_INPUTS, Bounds
from executor.api.services import App, Context, Services
from executor.meters import Meters
from executor.pool import AGE_SECONDS, Pool
from executor.readiness import Readiness
from executor.runner import Runner
from executor.runs import Policy
from executor.sandboxes.base import Engine
from executor.sandboxes.docker import DockerEngine
from executor.sandboxes.ownership import claim_owner
from executor.settings import Settings
from executor.watch import batch_seconds

DRAIN_SECONDS = 30.0
CLOSE_SECONDS = 12.0
MARGIN_SECONDS = 120.0


def create_app(settings: Settings) -> App:
    """Build the executor: its engine and pools begin their work when the server starts, and end it when it stops."""
    app: App = Sanic("executor", config=Config(), ctx=Context(), configure_logging=False)
    longest = batch_seconds(MAX_INPUTS, settings.max_timeout_seconds)
    app.config.update(
        {
            "REQUEST_MAX_SIZE": settings.max_request_bytes,
            "RESPONSE_TIMEOUT": settings.queue_seconds + longest + MARGIN_SECONDS,
            "KEEP_ALIVE_TIMEOUT": 120,
            "REQUEST_TIMEOUT": 60,
            "ACCESS_LOG": False,
            "MOTD": False,
        }
    )
    # What Sanic's own runner would note; without it each answer has an empty alt-svc header.
    app.state.server_info.append(ApplicationServerInfo(settings={"version": HTTP.VERSION_1}))
    app.blueprint([execute.blueprint, health.blueprint, metrics.blueprint])
    install_errors(app)
    install_guard(app, settings.secret)

    @app.before_server_start
    async def start(app: App) -> None:
        owner = claim_owner(f"{settings.host}:{settings.port}")
        engine = DockerEngine(
            settings.docker_host, owner=owner, lifetime=AGE_SECONDS + settings.queue_seconds + longest + MARGIN_SECONDS
        )
        app.ctx.engine = engine
        app.ctx.services = wire(settings, engine)
        app.ctx.services.readiness.start()

    @app.before_server_stop
    async def drain(app: App) -> None:
        await app.ctx.services.runner.drain(0)

    @app.after_server_stop
    async def stop(app: App) -> None:
        services = app.ctx.services
        await services.readiness.stop()
        # An engine that hangs must not keep us: what is left then is for the next executor to sweep.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*(pool.close() for pool in services.pools.values()))
                await app.ctx.engine.close()

    return app


def wire(settings: Settings, engine: Engine) -> Services:
    """Build the rooms on top of an engine."""
    meters = Meters()
    policies = default_policies(settings)
    pools = {
        name: Pool(engine, policy, size=settings.pool_size.get(name, 0), meters=meters)
        for name, policy in policies.items()
    }
    admission = Admission(places=settings.max_concurrent, queue=settings.max_queue, seconds=settings.queue_seconds)
    return Services(
        settings=settings,
        bounds=Bounds(
            policies=policies,
            default_image=settings.default_image,
            max_timeout_seconds=settings.max_timeout_seconds,
            max_memory_mb=settings.max_memory_mb,
            max_cpus=settings.max_cpus,
        ),
        runner=Runner(pools, admission, meters),
        pools=pools,
        readiness=Readiness(engine, pools, policies, waived=settings.waive_controls, meters=meters),
        meters=meters,
    )


def default_policies(settings: Settings) -> dict[str, Policy]:
    """Give the policy that runs of each image are under when they ask for nothing else."""
    return {
        name: Policy(
            image=name,
            reference=reference,
            runtime=settings.runtime,
            timeout_seconds=settings.default_timeout_seconds,
            memory_mb=settings.default_memory_mb,
            cpus=settings.default_cpus,
            processes=settings.max_processes,
            open_files=settings.max_open_files,
            file_mb=settings.max_file_mb,
            workdir_mb=settings.workdir_mb,
            tmp_mb=settings.tmp_mb,
            shm_mb=settings.shm_mb,
        )
        for name, reference in settings.images.items()
    }

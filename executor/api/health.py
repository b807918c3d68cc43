"""`GET /health` and `GET /limits` (API.md 4.4). Both tell what is known; neither asks the engine at the time."""

from sanic import Blueprint, HTTPResponse, Request, text

from executor.api.answers import ID_HEADER, request_id, respond
from executor.api.requests import LEAST_CPUS, LEAST_TIMEOUT_SECONDS
from executor.api.services import Services, services_of
from executor.runs import LEAST_MEMORY_MB

blueprint = Blueprint("health")


@blueprint.get("/health")
@blueprint.head("/health", name="health_head")
async def health(request: Request) -> HTTPResponse:
    """Tell whether runs can be served: `ok` or why not, as text or as JSON."""
    services = services_of(request)
    problem = services.readiness.problem()
    status = 200 if problem is None else 503
    if "application/json" in request.headers.getone("accept", ""):
        return respond(request, _describe(services), status=status, headers={"vary": "Accept"})
    return text(
        "ok" if problem is None else problem.message,
        status=status,
        headers={"vary": "Accept", ID_HEADER: request_id(request)},
    )


@blueprint.get("/limits")
async def limits(request: Request) -> HTTPResponse:
    """Tell the policy in force, and what the images hold."""
    services = services_of(request)
    settings = services.settings
    return respond(
        request,
        {
            "defaults": {
                "image": settings.default_image,
                "timeout_seconds": settings.default_timeout_seconds,
                "memory_mb": settings.default_memory_mb,
                "cpus": settings.default_cpus,
            },
            "minima": {
                "timeout_seconds": LEAST_TIMEOUT_SECONDS,
                "memory_mb": LEAST_MEMORY_MB,
                "cpus": LEAST_CPUS,
            },
            "maxima": {
                "timeout_seconds": settings.max_timeout_seconds,
                "memory_mb": settings.max_memory_mb,
                "cpus": settings.max_cpus,
                "processes": settings.max_processes,
                "open_files": settings.max_open_files,
                "file_mb": settings.max_file_mb,
                "workdir_mb": settings.workdir_mb,
                "tmp_mb": settings.tmp_mb,
                "shm_mb": settings.shm_mb,
                "request_bytes": settings.max_request_bytes,
                "concurrent": settings.max_concurrent,
                "queue": settings.max_queue,
                "queue_seconds": settings.queue_seconds,
            },
            "images": {
                name: {
                    "python": report.python,
                    "packages": dict(sorted(report.packages.items())),
                    "least_memory_mb": report.least_memory_mb,
                }
                for name, report in services.readiness.images.items()
                if report is not None
            },
            "controls": services.readiness.controls,
        },
    )


def _describe(services: Services) -> dict[str, object]:
    readiness = services.readiness
    problem = readiness.problem()
    report = readiness.report
    return {
        "status": "healthy" if problem is None else "unhealthy",
        "message": None if problem is None else problem.message,
        "engine": {
            "reachable": report is not None,
            "version": report.version if report else None,
            "runtime": (services.settings.runtime or report.runtime) if report else None,
            "cgroup": report.cgroup if report else None,
            "owner": report.owner if report else None,
        },
        "images": {
            name: {"reference": services.settings.images[name], "ready": found is not None}
            for name, found in readiness.images.items()
        },
        "controls": readiness.controls,
        "pool": {name: {"ready": pool.ready, "target": pool.target} for name, pool in services.pools.items()},
    }

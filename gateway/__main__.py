"""The gateway's command line: settings, then the server, or one of the commands `token`, `models` and `check`."""

import asyncio
import errno
import gc
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from gateway.accepting import accept_in_bursts
from gateway.access.tokens import write_token
from gateway.configuration import BadSetting, Invocation, build, print_error, read_command_line, report, write_help
from gateway.draining import drain_at_stop, stop_at_signals
from gateway.settings import Settings
from gateway.telemetry import logs
from gateway.telemetry.folder import shared_folder
from gateway.upstream.sharing import make_memory
from gateway.workers import Workers, open_sockets

if TYPE_CHECKING:
    from sanic import Sanic

CreateApp = Callable[[Settings], "Sanic[Any, Any]"]

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BAD_SETTING, _FAILED = 2, 1

GC_THRESHOLD = 10_000  # new objects before a collection; Python's own 700 are a few requests


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit status: 0, 1 for what failed, 2 for a bad option or setting."""
    try:
        invocation = read_command_line(sys.argv[1:] if argv is None else argv)
        if invocation.command == "help":
            return _print(write_help())
        settings = build(invocation, os.environ, Path.cwd())
        if invocation.command == "token":
            return _print(make_token(settings, invocation))
        make_folders(settings)
    except BadSetting as error:
        print_error(error.message)
        return _BAD_SETTING
    if invocation.command == "serve":
        from gateway.app import create_app

        return serve(settings, create_app)
    return _run_command(settings, invocation)


def _print(text: str) -> int:
    with _reader_may_leave():
        print(text, flush=True)
    return 0


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Take it as no failure when whoever reads standard output has seen enough (`| head -1`)."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer would fail once more at the interpreter's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def make_folders(settings: Settings) -> None:
    """Make the folders that are written to, and try them; `BadSetting` for what cannot be made or written."""
    name = "DATA_DIR"
    try:
        if settings.data_dir is not None:
            settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            with TemporaryFile(dir=settings.data_dir):
                pass
        name = "LOG_FILE"
        if settings.log_file is not None:
            settings.log_file.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(settings.log_file, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    except OSError as error:
        raise BadSetting(f"{name}: expected a path that can be written to ({error.strerror or error})") from None


def _run_command(settings: Settings, invocation: Invocation) -> int:
    from gateway.app import create_app
    from gateway.commands import check, print_models

    level = settings.log_level if settings.debug else "ERROR"  # what went wrong stands in what the command prints
    services = create_app(replace(settings, workers=1, log_level=level)).ctx
    refresh = "refresh" in invocation.arguments
    work = print_models(services, refresh=refresh) if invocation.command == "models" else check(services)
    status = 0
    try:
        with _reader_may_leave():
            status = asyncio.run(work)
    except KeyboardInterrupt:
        return _FAILED
    return status


def make_token(settings: Settings, invocation: Invocation) -> str:
    """Write the JWT that `python -m gateway token` prints; `BadSetting` for what it cannot be made of."""
    given = invocation.arguments
    subject = given.get("sub", "").strip()
    if not subject or not subject.isprintable() or len(subject) > 256:
        raise BadSetting("--sub: expected the name of a user")
    if settings.auth.jwt_secret is None:
        raise BadSetting("JWT_SECRET: expected to be set, the token is signed with it")
    scopes = [scope for scope in re.split(r"[,\s]+", given.get("scope", "")) if scope]
    if not set(scopes) <= {"llm", "execute", "admin"} or ("scope" in given and not scopes):
        raise BadSetting("--scope: expected some of llm, execute, admin")
    lifetime = re.fullmatch(r"([0-9]{1,9})([smhd]?)", given.get("ttl", "12h").strip().lower())
    if lifetime is None or int(lifetime[1]) == 0:
        raise BadSetting("--ttl: expected a time such as 45s, 30m, 12h or 7d")
    return write_token(settings.auth, subject, scopes, int(lifetime[1]) * _SECONDS[lifetime[2]])


def serve(settings: Settings, create_app: CreateApp) -> int:
    """Serve until SIGTERM or Ctrl-C; gives 0 after an orderly end, 1 when the port cannot be had."""
    try:
        sockets = open_sockets(settings.host, settings.port, settings.workers)
    except OSError as error:
        print_error(_explain(error, settings))
        return _FAILED
    for line in report(settings):
        print(line, file=sys.stderr)
    sys.stderr.flush()
    if settings.workers == 1:
        try:
            _serve_one(settings, create_app, sockets[0])
        except KeyboardInterrupt:  # before the server has taken over the signals
            return _FAILED
        return 0
    with shared_folder() as folder:
        limits = replace(settings.limits, shared_dir=folder)
        shared = replace(settings, runtime_dir=folder, limits=limits, token_memory=make_memory(folder))
        return Workers(partial(_serve_one, shared, create_app), sockets, print_error).run()


def _explain(error: OSError, settings: Settings) -> str:
    where = f"{settings.host}:{settings.port}"
    if error.errno == errno.EADDRINUSE:
        return f"port {settings.port} is in use on {settings.host}; choose another with --port (GATEWAY_PORT)"
    if error.errno == errno.EACCES:
        return f"no permission to listen on {where}; ports below 1024 need a privilege"
    return f"cannot listen on {where}: {error.strerror or error}"


def _serve_one(settings: Settings, create_app: CreateApp, listener: socket.socket) -> None:
    """Serve on a socket in this process, until a signal; a second signal ends it at once."""
    gc.disable()  # a collection while the router is compiled can make CPython 3.11 fail, and slows every start
    app = create_app(settings)
    logs.configure(settings)  # after Sanic has set up its own

    async def collect_again(_app: object) -> None:
        gc.freeze()  # what has been made so far stays for good: no collection need look at it
        gc.set_threshold(GC_THRESHOLD)
        gc.enable()

    app.after_server_start(collect_again)
    stop_at_signals(app)
    protocol = accept_in_bursts(drain_at_stop(app), listener)
    app.run(
        sock=listener,
        protocol=protocol,
        register_sys_signals=False,
        single_process=True,
        access_log=False,
        motd=False,
        debug=False,
    )


if __name__ == "__main__":
    sys.exit(main())

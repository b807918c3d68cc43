"""Command line: options -> settings -> app -> serve, until a signal."""

import argparse
import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Collection
from typing import Any, NoReturn, Protocol, cast

from sanic.server.loop import try_use_uvloop

from executor.api.services import App
from executor.app import DRAIN_SECONDS, create_app
from executor.settings import VARIABLES, Settings, SettingsError, read_port, read_settings
from executor.telemetry import set_up_logging

log = logging.getLogger("executor")

ANSWER_SECONDS = 2.0


class _Server(Protocol):
    """What is used of Sanic's server object, which has no annotations."""

    connections: Collection[Any]

    def startup(self) -> Awaitable[None]: ...
    def before_start(self) -> Awaitable[None]: ...
    def start_serving(self) -> Awaitable[None]: ...
    def after_start(self) -> Awaitable[None]: ...
    def close(self) -> object: ...
    def before_stop(self) -> Awaitable[None]: ...
    def after_stop(self) -> Awaitable[None]: ...


def main(arguments: list[str] | None = None) -> int:
    """Run the executor; gives the exit status: 0 stopped, 1 cannot listen, 2 a bad option or value."""
    try:
        options = _read_options(arguments)
        settings = read_settings(os.environ, {"host": options.host, "port": options.port})
    except SettingsError as error:
        print(f"executor: {error}", file=sys.stderr)
        return 2
    set_up_logging(settings.log_level)
    try:
        listener = _listen(settings.host, settings.port)
    except OSError as error:
        print(f"executor: {_explain(error, settings)}", file=sys.stderr)
        return 1
    try_use_uvloop()
    asyncio.run(serve(create_app(settings), listener, settings))
    return 0


async def serve(app: App, listener: socket.socket, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT: then take nothing new, let runs end, remove all boxes. A second signal hurries."""
    stopping, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: hurry.set() if stopping.is_set() else stopping.set())
    server = cast(_Server, await app.create_server(sock=listener, return_asyncio_server=True, access_log=False))
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    # What is there by now stays: no collection need ever look at it again.
    gc.collect()
    gc.freeze()
    log.info("listening on http://%s:%d", settings.host, listener.getsockname()[1])
    await stopping.wait()
    log.info("stopping: runs may take %g s more, a second signal ends them at once", DRAIN_SECONDS)
    server.close()
    draining = loop.create_task(app.ctx.services.runner.drain(DRAIN_SECONDS))
    hurrying = loop.create_task(hurry.wait())
    await asyncio.wait((draining, hurrying), return_when=asyncio.FIRST_COMPLETED)
    hurrying.cancel()
    draining.cancel()
    await server.before_stop()
    await _see_off(server.connections)
    await server.after_stop()
    log.info("stopped")


async def _see_off(connections: Collection[Any]) -> None:
    """Close each connection once its last answer is on its way; a run has ended before its answer is written."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while busy := [connection for connection in list(connections) if not connection.close_if_idle()]:
        if time.monotonic() > deadline:
            for connection in busy:
                connection.close()
            return
        await asyncio.sleep(0.01)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def _explain(error: OSError, settings: Settings) -> str:
    where = f"{settings.host}:{settings.port}"
    if error.errno == errno.EADDRINUSE:
        return f"port {settings.port} is in use on {settings.host}; choose another with --port (EXECUTOR_PORT)"
    if error.errno == errno.EACCES:
        return f"no permission to listen on {where}; ports below 1024 need a privilege"
    return f"cannot listen on {where}: {error.strerror or error}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(message.removeprefix("argument "))


def _read_options(arguments: list[str] | None) -> argparse.Namespace:
    """Take the command line apart; `SettingsError` for what is unknown or has no value that can be used."""
    options, rest = _parser().parse_known_args(arguments)
    if unknown := next((word for word in rest if word.startswith("-")), None):
        raise SettingsError(f"unknown option {unknown.partition('=')[0]}; --help lists them all")
    if rest:
        raise SettingsError("unexpected argument; expected options only, --help lists them all")
    return options


def _parser() -> _Parser:
    width = max(len(variable.name) for variable in VARIABLES)
    lines = [f"  {item.name:<{width}}  {item.help} (default: {item.default})" for item in VARIABLES]
    parser = _Parser(
        prog="python -m executor",
        description="Runs untrusted Python in disposable containers. Internal: only the gateway should reach it.",
        epilog="environment:\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--port", type=_port, metavar="N", help="port to listen on (EXECUTOR_PORT, default 3600)")
    parser.add_argument("--host", metavar="H", help="address to listen on (EXECUTOR_HOST, default 127.0.0.1)")
    return parser


def _port(text: str) -> int:
    try:
        return read_port(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())

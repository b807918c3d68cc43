"""The command line of scripts/bench: what to measure, then tables on stdout and JSON in a file."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from scripts.benchmarks import executor_figures, executor_tables, gateway_figures, tables
from scripts.benchmarks.machine import alone, complain, describe
from scripts.benchmarks.terminal import CannotMeasure, paint, warn


def main() -> int:
    """Measure; the exit status: 0, 1 if nothing could be measured, 130 when interrupted."""
    options = parse_options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="sandgate-bench-"))
    try:
        with alone():
            report(measure(options, folder), options)
    except CannotMeasure as error:
        print(f"{paint('31', 'error:')} {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        warn("interrupted; all that was started has been ended")
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def parse_options() -> argparse.Namespace:
    """The command line; `scripts/bench` itself answers --help."""
    parser = argparse.ArgumentParser(prog="scripts/bench", add_help=False)
    parser.add_argument("what", nargs="?", choices=("gateway", "executor", "all"), default="all")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The figures of what was asked for, with the conditions; the executor's first, which want all cores."""
    conditions = describe()
    measured: dict[str, Any] = {"quick": options.quick, "conditions": conditions, "spoiled": complain(conditions)}
    if options.what in ("executor", "all"):
        plan = executor_figures.QUICK if options.quick else executor_figures.FULL
        try:
            measured["executor"] = executor_figures.measure(folder / "executor", plan)
        except CannotMeasure as error:
            if options.what == "executor":
                raise
            warn(f"the executor is left out: {error}")
            measured["executor"] = None
    if options.what in ("gateway", "all"):
        makers = gateway_figures.list_makers(with_peers=options.peers)
        duration = gateway_figures.QUICK if options.quick else gateway_figures.FULL
        measured["gateway"] = gateway_figures.measure(folder, duration, makers)
    return measured


def report(measured: dict[str, Any], options: argparse.Namespace) -> None:
    """Print the tables; write the JSON."""
    print(tables.conditions_line(measured["conditions"]))
    for complaint in [*measured["spoiled"], *(["this was a quick run"] if measured["quick"] else [])]:
        print(f"Not to be quoted: {complaint}.")
    if measured.get("gateway"):
        print(tables.gateway_tables(measured["gateway"]))
    if measured.get("executor"):
        print(executor_tables.executor_tables(measured["executor"]))
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())

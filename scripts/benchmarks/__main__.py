"""The command line of scripts/bench: what to measure, then tables on stdout and JSON in a file."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from scripts.benchmarks import (
    aims,
    executor_figures,
    executor_tables,
    gateway_figures,
    installation,
    plan,
    summary,
    tables,
)
from scripts.benchmarks.machine import alone, complain, describe
from scripts.benchmarks.terminal import CannotMeasure, Unavailable, paint, warn


def main() -> int:
    """Measure; the exit status: 0, 1 if nothing could be measured, 130 when interrupted."""
    options = parse_options()
    if options.markdown:
        return summarise(options.markdown)
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
    parser.add_argument("what", nargs="?", choices=("gateway", "executor", "size", "all"), default="all")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    return parser.parse_args()


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The figures of what was asked for, with the conditions; the executor's first, which want all cores."""
    conditions = describe()
    measured: dict[str, Any] = {"quick": options.quick, "conditions": conditions, "spoiled": complain(conditions)}
    if options.what in ("executor", "all"):
        measured["executor"] = measure_executor(options, folder)
    if options.what in ("gateway", "all"):
        makers = gateway_figures.list_makers(with_peers=options.peers)
        chosen = plan.QUICK if options.quick else plan.FULL
        measured["gateway"] = gateway_figures.measure(folder, chosen, makers, gateway_figures.COMPARISONS)
    if options.what == "size" or ("gateway" in measured and not options.quick):
        measured["installation"] = measure_installation(options, folder)
    measured["aims"] = aims.judge(measured)
    return measured


def measure_executor(options: argparse.Namespace, folder: Path) -> dict[str, Any] | None:
    """The executor's figures; None, with a warning, if it cannot be measured and others still can."""
    try:
        return executor_figures.measure(
            folder / "executor", executor_figures.QUICK if options.quick else executor_figures.FULL
        )
    except CannotMeasure as error:
        if options.what == "executor":
            raise
        warn(f"the executor is left out: {error}")
        return None


def measure_installation(options: argparse.Namespace, folder: Path) -> dict[str, Any] | None:
    """The size of the gateway's packages; None, with a warning, if they cannot be had and others were measured."""
    try:
        return installation.measure(folder)
    except Unavailable as error:
        if options.what == "size":
            raise CannotMeasure(str(error)) from None
        warn(f"the size is left out: {error}")
        return None


def report(measured: dict[str, Any], options: argparse.Namespace) -> None:
    """Print the tables; write the JSON."""
    print(tables.conditions_line(measured["conditions"]))
    for complaint in [*measured["spoiled"], *(["this was a quick run"] if measured["quick"] else [])]:
        print(f"Not to be quoted: {complaint}.")
    if measured.get("gateway"):
        print(tables.gateway_tables(measured["gateway"]))
    if measured.get("executor"):
        print(executor_tables.executor_tables(measured["executor"]))
    if measured.get("installation"):
        print(tables.installation_table(measured["installation"]))
    if measured["aims"]:
        print(aims.aims_table(measured["aims"], quick=measured["quick"]))
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n")


def summarise(file: Path) -> int:
    """Print the summary of a run from its JSON; the exit status."""
    try:
        measured = json.loads(file.read_text())
        print(summary.summarise(measured))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        print(f"{paint('31', 'error:')} {file} holds no figures of scripts/bench ({error!r})", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Whether code can be run: engine reachable, images there, controls tried. Watched from start to stop."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from executor.errors import ControlFailed, EngineFailed, ExecutorError, ImageMissing, SandboxUnavailable
from executor.meters import Meters
from executor.pool import TEND_SECONDS, Pool, free_memory_mb
from executor.runs import ImageReport, Policy
from executor.sandboxes.base import Engine, EngineReport
from executor.selftest import check_controls, describe_image

log = logging.getLogger("executor.readiness")

HASTE_SECONDS = 1.0
CALM_SECONDS = 10.0
SWEEP_SECONDS = 60.0


class Readiness:
    """Knows, without asking the engine at the time, whether runs can be served; opens the pools when they can.

    `controls` holds "passed", "failed" or "waived" for each control; it is empty until the self-test has run. A
    control that is neither passed nor waived refuses every run.
    """

    def __init__(
        self,
        engine: Engine,
        pools: Mapping[str, Pool],
        policies: Mapping[str, Policy],
        *,
        waived: frozenset[str],
        meters: Meters,
    ) -> None:
        self.report: EngineReport | None = None
        self.images: dict[str, ImageReport | None] = dict.fromkeys(policies)
        self.controls: dict[str, str] = {}
        self._engine = engine
        self._pools = pools
        self._policies = policies
        self._waived = waived
        self._meters = meters
        self._problem: ExecutorError | None = EngineFailed("The executor is starting.", retry_after=1)
        self._trouble = asyncio.Event()
        self._tried_in_vain = False
        self._tasks: list[asyncio.Task[None]] = []

    def problem(self, image: str | None = None) -> ExecutorError | None:
        """Say why code cannot be run, in this image or in all of them; None if it can."""
        if self._problem is not None and (self.report is None or any(self.images.values())):
            return self._problem
        for name in self.images if image is None else (image,):
            if self.images[name] is None:
                return self._not_there(name)
        return None

    def require(self, image: str) -> None:
        """Raise why code cannot be run in this image, if so."""
        if (problem := self.problem(image)) is not None:
            raise problem

    @property
    def runtime(self) -> str | None:
        """The engine's default OCI runtime, once it is known."""
        return self.report.runtime if self.report else None

    @property
    def least_memory_mb(self) -> dict[str, int]:
        """What a box of each image that is there needs, in MiB."""
        return {name: report.least_memory_mb for name, report in self.images.items() if report is not None}

    def hint_for(self, module: str, image: str) -> str | None:
        """Say which other image has a module that this one lacks."""
        for name, report in self.images.items():
            if name != image and report is not None and module in report.modules:
                return f'The image {name!r} has {module}: send "image": "{name}".'
        return None

    def start(self) -> None:
        """Begin to watch."""
        loop = asyncio.get_running_loop()
        for pool in self._pools.values():
            pool.on_trouble = self._trouble.set
        self._tasks = [loop.create_task(self._watch()), loop.create_task(self._tend())]

    async def stop(self) -> None:
        """Stop watching."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _not_there(self, name: str) -> ExecutorError:
        reference = self._policies[name].reference
        if self.report is not None and self.report.images.get(reference):
            return SandboxUnavailable(f"The image {reference} of {name!r} is being tried out.", retry_after=2)
        return ImageMissing(f"The image {reference} of {name!r} is not there: build or pull it.", retry_after=5)

    async def _watch(self) -> None:
        """Look at engine and images again and again: in haste while something is not there, else calmly."""
        while True:
            try:
                await self._look()
            except ExecutorError as error:
                self._lose(error)
            except Exception:  # watching must go on whatever happens
                log.exception("looking at the engine failed unforeseen")
                self._lose(EngineFailed("The container engine could not be looked at."))
            # Trouble in a pool is a reason to look again soon, but no reason to do nothing else.
            await asyncio.sleep(HASTE_SECONDS)
            if self._tried_in_vain or self.problem() is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CALM_SECONDS):
                        await self._trouble.wait()
            self._trouble.clear()

    async def _look(self) -> None:
        report = await self._engine.probe(tuple(policy.reference for policy in self._policies.values()))
        for policy in self._policies.values():
            if policy.runtime is not None and policy.runtime not in report.runtimes:
                raise EngineFailed(f"The engine has no runtime {policy.runtime!r} (SANDBOX_RUNTIME).")
        if self.report is None:
            log.info("engine %s, runtime %s, cgroup v%s", report.version, report.runtime, report.cgroup)
            await self._sweep()
            self.images = dict.fromkeys(self._policies)
        self.report = report
        self._tried_in_vain = False
        for name, policy in self._policies.items():
            if not report.images.get(policy.reference):
                self.images[name] = None
            elif self.images[name] is None or self._failed():
                await self._try_image(policy)
        if self._failed():
            self._tried_in_vain = True

    async def _try_image(self, policy: Policy) -> None:
        """Run the self-test, if it has not been passed, and have the image tell what it holds; then open its pool."""
        try:
            if not self.controls or self._failed():
                await self._prove(policy)
            self.images[policy.image] = await describe_image(self._engine, policy)
        except EngineFailed:
            raise
        except SandboxUnavailable as error:
            log.error("image %s: %s", policy.image, error.message)
            self._tried_in_vain = True
            return
        failed = self._failed()
        self._problem = (
            ControlFailed(f"The sandbox failed its self-test: {', '.join(failed)} (WAIVE_CONTROLS accepts it by name).")
            if failed
            else None
        )
        if not failed:
            log.info("ready to run in %s", policy.image)
            self._pools[policy.image].open()

    async def _prove(self, policy: Policy) -> None:
        found = await check_controls(self._engine, policy)
        states = {True: "passed", False: "failed"}
        self.controls = {
            name: "waived" if not holds and name in self._waived else states[holds] for name, holds in found.items()
        }
        for name, state in self.controls.items():
            if state != "passed":
                log.error("self-test: control %s %s", name, state)

    def _failed(self) -> list[str]:
        return sorted(name for name, state in self.controls.items() if state == "failed")

    def _lose(self, error: ExecutorError) -> None:
        problem = error if isinstance(error, SandboxUnavailable) else EngineFailed("The container engine failed.")
        if self._problem is None or self._problem.message != problem.message:
            log.error("not ready: %s", problem.message)
        self.report = None
        self.controls = {}
        self._problem = problem

    async def _tend(self) -> None:
        since_sweep = 0.0
        while True:
            await asyncio.sleep(TEND_SECONDS)
            free = free_memory_mb()
            for pool in self._pools.values():
                pool.tend(free)
            since_sweep += TEND_SECONDS
            if since_sweep >= SWEEP_SECONDS:
                since_sweep = 0.0
                with contextlib.suppress(ExecutorError):
                    await self._sweep()

    async def _sweep(self) -> None:
        swept = await self._engine.sweep()
        if swept:
            log.warning("removed %d sandboxes that a dead executor left", swept)
            self._meters.swept.inc(swept)

"""The page's work on other machines: copies of the model as a Ray Serve deployment, and the page as its client.

    serve run --name humo humo.space.jobs.ray_serve:build model=mini replicas=2      # where Ray runs
    python -m humo page --ray                                                        # on a machine of the same cluster

The page keeps the queue; as many jobs, or batches, are at work as there may be replicas, and Ray starts and ends
replicas as they are needed. A replica that dies in the middle of a job takes nothing with it: files travel with the
job and come back with its result, so another one begins it again, with the same seed where the visitor chose one.

Replicas on one machine share its cores: Ray places no more of them there than have room with the cores that it keeps
for each, and each computes with as many threads. Ray itself would tell them by OMP_NUM_THREADS, but only where nobody
has set that.

Needs the extra "serve" (Ray 2.60). All of it is ours.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import tempfile
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import ray
from pydantic import BaseModel, Field
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException

from humo.space.jobs.batching import Batches
from humo.space.jobs.job import Model, Moment, Task
from humo.space.jobs.model_choice import VARIABLE, wanted_model
from humo.space.jobs.request import Defaults
from humo.space.jobs.served_model import ServedModel
from humo.space.jobs.task import MakeVideos
from humo.space.jobs.transfer import Payload, pack, unpack_back, unpack_here
from humo.space.jobs.zerogpu import stream
from humo.system.threads import limit_threads, share_of_cores

logger = logging.getLogger(__name__)
APP = "humo"
TRIES = 3
"""Replicas that a job may lose before its visitor is asked to try again."""
_HEARTBEAT = 0.5
"""Seconds between two looks at Stop while a replica says nothing."""
_BEGUN_AGAIN = Moment(0, 1, "Begun again: the machine that made it was lost")
_END = object()


class Settings(BaseModel, extra="forbid"):
    """What `serve run humo.space.jobs.ray_serve:build` takes, as name=value."""

    model: str = "mini"
    """"mini", "1.7B", "17B", or a folder that every machine has."""
    replicas: int = Field(default=2, ge=1)
    """The most; each has the model once and does one job at a time."""
    least: int = Field(default=1, ge=1)
    """That stay when nobody waits."""
    cpus: float | None = Field(default=None, gt=0)
    """Cores of a replica; its threads are as many whole ones, at least one. None for equal shares of the machine that
    starts them."""
    gpus: float = Field(default=0.0, ge=0)
    """GPUs of a replica; 1 for the published models."""


@dataclass(frozen=True)
class About:
    """What the page has to know of the model behind a deployment; see `humo.space.jobs.served_model.ServedModel`."""

    SERVING: ClassVar = ("name", "defaults", "fingerprint", "notice", "device", "has_fast")

    name: str
    defaults: Defaults
    fingerprint: str
    notice: str
    device: str
    has_fast: bool
    batches: Batches
    places: int
    """Replicas at the most."""

    def serving(self) -> ServedModel:
        """The model as the page knows it; the workers have it, so there is nothing to load."""
        return ServedModel(**{name: getattr(self, name) for name in self.SERVING}, model=Model(lambda: None))


class Replica:
    """One copy of the model."""

    def __init__(self, settings: Settings) -> None:
        limit_threads(int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))
        self._serving = ServedModel.open(wanted_model({VARIABLE: settings.model}))
        self._places, self._pipe = settings.replicas, self._serving.model.get()

    def about(self) -> About:
        """Tell what it serves."""
        values = {name: getattr(self._serving, name) for name in About.SERVING}
        return About(**values, batches=Batches.of_pipeline(self._pipe), places=self._places)

    async def moments(self, sent: Payload) -> AsyncIterator[tuple[bool, Any]]:
        """Run a task; what it tells comes as payloads, a refusal as (True, its sentence)."""
        loop = asyncio.get_running_loop()
        with tempfile.TemporaryDirectory(prefix="humo-replica-") as folder:
            task, files = unpack_here(sent, Path(folder))
            values = stream(lambda report: task.run(self._pipe, report))
            step = loop.run_in_executor(None, next, values, _END)
            try:
                while (value := await asyncio.shield(step)) is not _END:
                    yield False, pack(value, files)
                    step = loop.run_in_executor(None, next, values, _END)
            except ValueError as error:
                yield True, str(error)
            finally:  # also where the visitor stopped
                await asyncio.shield(_end(values, step))


async def _end(values: Generator[Any], step: asyncio.Future[Any]) -> None:
    """End a task at its next step, which may be under way in its thread; afterwards the device is free."""
    await asyncio.wait([step])
    if not step.cancelled():
        step.exception()  # asked for, or asyncio would complain of one that nobody saw
    await asyncio.get_running_loop().run_in_executor(None, values.close)


def build(given: dict[str, Any]) -> serve.Application:
    """The application, for `serve run` and `serve build`; what is given is of `Settings`."""
    settings = Settings(**given)
    cpus = settings.cpus or share_of_cores(settings.replicas)
    deployment = serve.deployment(
        name="Replica",
        max_ongoing_requests=1,
        ray_actor_options={"num_cpus": cpus, "num_gpus": settings.gpus},
        autoscaling_config={
            "min_replicas": min(settings.least, settings.replicas),
            "max_replicas": settings.replicas,
            "target_ongoing_requests": 1,
        },
        health_check_period_s=2,
        graceful_shutdown_timeout_s=5,
    )(Replica)
    return deployment.bind(settings)


class Workers:
    """The page's side of a deployment."""

    def __init__(self, handle: serve.handle.DeploymentHandle[Any]) -> None:
        self._handle = handle

    @classmethod
    def connect(cls) -> Workers:
        """Find the deployment in the cluster that RAY_ADDRESS names, or in the one of this machine.

        Raises:
            ValueError: in one sentence, if there is none.
        """
        try:
            address = os.environ.get("RAY_ADDRESS") or "auto"
            ray.init(address, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR)
            return cls(serve.get_app_handle(APP))
        except (ConnectionError, RayError, RayServeException) as error:
            logger.debug("no workers", exc_info=error)
            raise ValueError(
                "no workers answer on Ray: start them with `serve run --name humo humo.space.jobs.ray_serve:build` "
                "on a machine of this cluster, or leave --ray out."
            ) from None

    def about(self) -> About:
        """What they serve; waits for the first one."""
        return self._handle.about.remote().result()

    def run(self, task: Task) -> Generator[Any]:
        """Run a task, as `humo.space.jobs.job.Run` says; one that is lost with its replica is begun again."""
        count = len(task.tasks) if isinstance(task, MakeVideos) else None
        sent = pack(task)
        for _ in range(TRIES):
            try:
                yield from self._run_once(sent, count)
                return
            except RayTaskError:  # the task's own mistake, which another replica would make as well
                raise
            except (RayError, RayServeException) as error:
                logger.warning("a replica was lost in the middle of a job: %s", type(error).__name__)
                yield _for_each(_BEGUN_AGAIN, count)
        raise ValueError(f"{TRIES} machines were lost while they made it: please try again later.")

    def _run_once(self, sent: Payload, count: int | None) -> Iterator[Any]:
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        responses: Any = self._handle.options(stream=True).moments.remote(sent)

        def listen() -> None:
            try:
                for response in responses:
                    answers.put(response)
                answers.put(_END)
            except BaseException as error:  # raised again, by whoever asks for the next value
                answers.put(error)

        threading.Thread(target=listen, name="ray", daemon=True).start()
        try:
            while True:
                try:
                    answer = answers.get(timeout=_HEARTBEAT)
                except queue.Empty:
                    yield _for_each(None, count)
                    continue
                if answer is _END:
                    return
                if isinstance(answer, BaseException):
                    raise answer
                is_refusal, value = answer
                if is_refusal:
                    raise ValueError(value)
                yield unpack_back(value, sent)
        finally:
            responses.cancel()


def _for_each(value: Any, count: int | None) -> Any:
    """The same for each of a batch; count is None for a task alone."""
    return value if count is None else (value,) * count

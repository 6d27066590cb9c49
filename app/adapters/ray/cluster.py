"""All that is said to Ray: how a cluster is joined, and how replicas are asked, started, counted and ended."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final, Protocol

import msgspec

from ...domain.audio import Samples
from ...domain.errors import ModelUnavailableError, SpeechError
from . import board
from .replica import PACKAGE_VERSION, Replica
from .scaling import ByQueuedAudio
from .wire import Introduction, Outcome, Request, encoded, introduction_of, outcome_of

APPLICATION: Final = "parakeet-stt"
_DEPLOYMENT: Final = "recognizer"
_CONFIGURING: Final = threading.Lock()  # Ray Serve 2.60 makes its configurations through a registry that threads share
_RUNNING: Final = "RUNNING"
_HEALTH_PERIOD_S: Final = 2.0
_HEALTH_TIMEOUT_S: Final = 20.0
# What Ray reads when it is imported. A call after the cluster was left would start another on this machine; and under `uv run` Ray
# would send the folder that it is called in to every machine, and start replicas there with `uv run`, in an environment without us.
RAY_VARIABLES: Final = {"RAY_ENABLE_AUTO_CONNECT": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
_TELLING_S: Final = "1"  # how often a replica tells what waits
_LOOK_S: Final = 0.5  # how often whoever waits for an answer asks whether it is worth it


class TransportError(SpeechError):
    """A batch has not come through: a replica, its machine or the cluster is gone. It may be tried elsewhere."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to run on the cluster."""

    factory: str  # `module:function`, importable on every machine, which makes a recogniser of `environment`
    environment: Mapping[str, str]
    replicas: int
    least_replicas: int  # where there are to be fewer with little to do; `replicas`: always as many
    replica_audio_s: float  # what must wait for another one to be started
    idle_s: float  # for how long fewer must have been enough before one is ended
    cpus: float  # of each replica
    gpus: float
    stuck_s: float
    drain_s: float


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """How the replicas fare; `states` counts them by Ray Serve's words."""

    status: str
    message: str
    states: dict[str, int]

    @property
    def n_running(self) -> int:
        return self.states.get(_RUNNING, 0)


class Cluster(Protocol):
    """What the recogniser needs of a cluster. Every method may raise a `TransportError`."""

    def connect(self) -> None:
        """Join the cluster and find the replicas."""

    def introduction(self, *, worth_it: Callable[[], bool]) -> Introduction:
        """Ask some replica what it is."""

    def put(self, samples: list[Samples]) -> Any:
        """Lay arrays where any replica can take them from, and return what refers to them."""

    def recognize(self, samples: Any, request: Request, *, worth_it: Callable[[], bool]) -> Outcome:
        """Have a replica that is free recognise a batch; wait for one as long as that is `worth_it`.

        Raises:
            TimeoutError: It was not worth it any more.
        """

    def tell(self, service: str, audio_s: float) -> None:
        """Have it known how many seconds of audio wait or run at a service."""

    def situation(self) -> Situation:
        """Ask how the replicas fare."""

    def close(self) -> None:
        """Leave the cluster."""


class RayCluster:
    """A cluster of Ray, whose replicas are a deployment of Ray Serve's."""

    def __init__(self, address: str) -> None:
        """Remember `address`: `auto`, or `host:port` of a head. This machine must be one of the cluster's.

        Raises:
            ModelUnavailableError: Ray is not installed.
        """
        if find_spec("ray") is None:
            raise ModelUnavailableError("replicas need the extra `ray`: pip install 'parakeet-stt[ray]'")
        os.environ.update(RAY_VARIABLES)
        self._address, self._joined = address, False
        self._handle: Any = None

    def join(self) -> None:
        """Make this process one of the cluster's, unless it is."""
        import ray

        with _translated():
            if ray.is_initialized():  # by whoever this process belongs to, or by an earlier call
                return
            with _own_handler():
                ray.init(address=self._address, log_to_driver=False, configure_logging=False)
            self._joined = True

    def connect(self) -> None:
        self.join()
        with _translated():
            self._handle = _serve().get_app_handle(APPLICATION)

    def introduction(self, *, worth_it: Callable[[], bool]) -> Introduction:
        with _translated():
            return introduction_of(_awaited(self._handle.introduction.remote(), worth_it))

    def put(self, samples: list[Samples]) -> Any:
        import ray

        with _translated():
            return ray.put(samples)

    def recognize(self, samples: Any, request: Request, *, worth_it: Callable[[], bool]) -> Outcome:
        with _translated():
            return outcome_of(_awaited(self._handle.recognize.remote([samples], encoded(request)), worth_it))

    def tell(self, service: str, audio_s: float) -> None:
        with _translated():
            if found := board.found():
                found.tell.remote(service, audio_s)

    def situation(self) -> Situation:
        with _translated():
            serve = _serve()
            with _CONFIGURING:
                found = serve.status().applications.get(APPLICATION)
            if found is None:
                return Situation(status="NOT_DEPLOYED", message="", states={})
            states = {_word(state): n for one in found.deployments.values() for state, n in one.replica_states.items()}
            message = found.message or "".join(one.message for one in found.deployments.values())
            return Situation(status=_word(found.status), message=message, states=states)

    def deploy(self, plan: Plan) -> None:
        """Start replicas, or put others in their places, some at a time; return once all run.

        Raises:
            TransportError: They do not start; the text says why.
        """
        self.join()
        with _translated():
            serve = _serve()
            serve.start(proxy_location="Disabled")  # nothing comes in by HTTP here
            serve.run(application(plan), name=APPLICATION, route_prefix=None)

    def delete(self) -> None:
        """End all replicas; batches under way are finished."""
        self.join()
        with _translated():
            serve = _serve()
            if APPLICATION in serve.status().applications:
                serve.delete(APPLICATION)
            board.take_down()

    def close(self) -> None:
        if self._joined:
            import ray

            self._joined = False
            ray.shutdown()


def application(plan: Plan) -> Any:
    """Return what Ray Serve is to run; whoever asks names it `APPLICATION`."""
    if plan.least_replicas < plan.replicas:
        board.hang_up()
    with _CONFIGURING:
        deployment = _serve().deployment(Replica)
        deployment = deployment.options(
            name=_DEPLOYMENT,
            max_ongoing_requests=1,  # more would wait behind a batch while another replica may be free
            health_check_period_s=_HEALTH_PERIOD_S,
            health_check_timeout_s=_HEALTH_TIMEOUT_S,
            graceful_shutdown_timeout_s=plan.drain_s,
            **_number(plan),
        )
    return deployment.bind(plan.factory, dict(plan.environment), stuck_s=plan.stuck_s, package=PACKAGE_VERSION)


def _number(plan: Plan) -> dict[str, Any]:
    """Return how many replicas there are to be, and what each takes of its machine."""
    each: dict[str, Any] = {"num_cpus": plan.cpus, "num_gpus": plan.gpus}
    if plan.least_replicas == plan.replicas:
        return {"num_replicas": plan.replicas, "ray_actor_options": each}
    from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

    policy = AutoscalingPolicy(
        policy_function=f"{ByQueuedAudio.__module__}.{ByQueuedAudio.__name__}",
        policy_kwargs={"replica_audio_s": plan.replica_audio_s, "idle_s": plan.idle_s},
    )
    bounds = AutoscalingConfig(
        min_replicas=plan.least_replicas, max_replicas=plan.replicas, upscale_delay_s=0, downscale_delay_s=0, policy=policy
    )
    each["runtime_env"] = {"env_vars": {"RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": _TELLING_S}}
    return {"num_replicas": None, "autoscaling_config": bounds, "ray_actor_options": each}


def _serve() -> Any:
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # it tells of every step, on standard error, in a form of its own
    return serve


@contextmanager
def _own_handler() -> Iterator[None]:
    """Keep what this process does on SIGTERM: on the main thread Ray has it end at once, wherever it is."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _awaited(response: Any, worth_it: Callable[[], bool]) -> bytes:
    while True:
        try:
            answer: bytes = response.result(timeout_s=_LOOK_S)
        except TimeoutError:
            if not worth_it():
                response.cancel()
                raise
        else:
            return answer


def _word(state: Any) -> str:
    """Return a state as Ray Serve writes it; it is a member of an enumeration in some places, and text in others."""
    return str(getattr(state, "value", state))


@contextmanager
def _translated() -> Iterator[None]:
    """Turn whatever Ray raises into a `TransportError`: a model's failures come as values, so what is raised is the way's."""
    try:
        yield
    except (TimeoutError, TransportError):
        raise
    except Exception as failure:
        raise TransportError(f"{type(failure).__name__}: {failure}") from failure

"""Checks the RayService of KubeRay: `python deploy/rayservice.py FILE`.

No package with the schema of KubeRay's custom resources was found. So the fields that may stand in one (`ray.io/v1`) are written
down here; pod templates are held against the schemas of Kubernetes, and the configuration inside against Ray Serve's own and
against the application that it names.
"""

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import msgspec
import ray
import yaml
from parakeet_stt.adapters.ray.cluster import APPLICATION
from parakeet_stt.setting_sources import read_settings
from ray.serve.schema import ServeDeploySchema

_OF_SETTINGS: Final = re.compile(r"STT_\w+")


class _Known(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Of these fields no other may be there."""


class Head(_Known):
    """https://ray-project.github.io/kuberay/reference/api/#headgroupspec"""

    ray_start_params: dict[str, str]
    template: dict[str, Any]
    service_type: str = "ClusterIP"
    enable_ingress: bool = False
    resources: dict[str, str] = {}
    labels: dict[str, str] = {}


class Workers(_Known):
    """https://ray-project.github.io/kuberay/reference/api/#workergroupspec"""

    group_name: str
    replicas: int
    min_replicas: int
    max_replicas: int
    ray_start_params: dict[str, str]
    template: dict[str, Any]
    num_of_hosts: int = 1
    idle_timeout_seconds: int = 0
    resources: dict[str, str] = {}
    labels: dict[str, str] = {}

    def __post_init__(self) -> None:
        if not 0 <= self.min_replicas <= self.replicas <= self.max_replicas:
            raise ValueError(f"{self.group_name}: replicas lie within minReplicas..maxReplicas")


class Cluster(_Known):
    """https://ray-project.github.io/kuberay/reference/api/#rayclusterspec"""

    head_group_spec: Head
    worker_group_specs: list[Workers]
    ray_version: str = ""
    enable_in_tree_autoscaling: bool = False
    gcs_fault_tolerance_options: dict[str, Any] = {}


class Spec(_Known):
    """https://ray-project.github.io/kuberay/reference/api/#rayservicespec"""

    serve_config_v2: str = msgspec.field(name="serveConfigV2")
    ray_cluster_config: Cluster
    upgrade_strategy: dict[str, Any] = {}
    serve_service: dict[str, Any] = {}
    exclude_head_pod_from_serve_svc: bool = False


class RayService(_Known):
    """The whole document."""

    api_version: str
    kind: str
    metadata: dict[str, Any]
    spec: Spec


def faults(text: str, *, locked: str) -> Iterator[str]:
    """Yield what is wrong with a manifest; `locked` is the version of Ray that is installed with the package."""
    manifest = yaml.safe_load(text)
    try:
        found = msgspec.convert(manifest, RayService)
    except msgspec.ValidationError as fault:
        yield str(fault)
        return
    cluster = found.spec.ray_cluster_config
    if (found.api_version, found.kind) != ("ray.io/v1", "RayService"):
        yield f"{found.api_version} {found.kind} is no RayService of ray.io/v1"
    if cluster.ray_version != locked:
        yield f"rayVersion {cluster.ray_version} is not {locked}"
    groups: list[Head | Workers] = [cluster.head_group_spec, *cluster.worker_group_specs]
    for group in groups:
        yield from _pod_faults(group)
    yield from _serve_faults(found.spec.serve_config_v2, cluster)


def _pod_faults(group: Head | Workers) -> Iterator[str]:
    name = group.group_name if isinstance(group, Workers) else "head"
    pod = {"apiVersion": "v1", "kind": "Pod", **group.template}
    pod["metadata"] = {"name": name, **group.template.get("metadata", {})}
    try:
        kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as fault:
        yield f"the pods of {name}: {fault}"
    for container in group.template["spec"]["containers"]:
        variables = {one["name"]: one["value"] for one in container.get("env", []) if "value" in one}
        read_settings({one: value for one, value in variables.items() if _OF_SETTINGS.fullmatch(one)})


def _serve_faults(text: str, cluster: Cluster) -> Iterator[str]:
    """Hold what Ray Serve will read against its own schema, and against what the services are told."""
    config = ServeDeploySchema.model_validate(yaml.safe_load(text))
    (application,) = config.applications
    if (application.name, application.route_prefix) != (APPLICATION, None):
        yield f"the application must be called {APPLICATION}, as services ask for that, and have no route"
    module, _, name = application.import_path.partition(":")
    build = getattr(import_module(module), name)
    built = build(application.args)._bound_deployment  # as Ray Serve itself calls it
    plan = read_settings(application.args)
    if built.num_replicas != plan.replicas:
        yield f"{built.num_replicas} replicas would be built, and {plan.replicas} are set"
    workers = {group.group_name: group for group in cluster.worker_group_specs}
    have = sum(_gpus(group) * group.max_replicas for group in workers.values())
    if have < plan.replicas * plan.replica_gpus:
        yield f"{plan.replicas} replicas of {plan.replica_gpus:g} GPUs do not fit on {have}"
    told = {one["name"]: one.get("value") for one in workers["services"].template["spec"]["containers"][0]["env"]}
    if told["STT_REPLICAS"] != application.args["STT_REPLICAS"]:
        yield "services and replicas are told different numbers of replicas"


def _gpus(group: Workers) -> int:
    return sum(int(one["resources"]["limits"].get("nvidia.com/gpu", 0)) for one in group.template["spec"]["containers"])


def main() -> int:
    """Tell every fault; 0 for none."""
    found = [f"{path}: {fault}" for path in sys.argv[1:] for fault in faults(Path(path).read_text(), locked=ray.__version__)]
    print("\n".join(found) if found else f"{', '.join(sys.argv[1:])}: as KubeRay, Kubernetes, Ray Serve and the package have it")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

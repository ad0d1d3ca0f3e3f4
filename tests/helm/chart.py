"""The chart as Helm renders it, and what Kubernetes would say of it."""

from __future__ import annotations

import json
import subprocess
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import yaml

from tests.services.tools import HELM_4, SCHEMAS, tool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Manifest = Mapping[str, Any]

CHART = Path(__file__).parents[2] / "helm"
CASES = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))
VERSIONS = [f"1.{minor}.0" for minor in range(29, 37)]
OWN_SCHEMAS = Path(__file__).with_name("schemas")
SETS = "kubernetes_validate/kubernetes-json-schema"


class Refused(Exception):  # noqa: N818  what Helm did
    """Helm did not render the chart; its words."""


@cache
def rendered(*files: Path, version: str = "1.33.0", helm: str = HELM_4, sets: tuple[str, ...] = ()) -> str:
    """All manifests, for a release ``shop`` in ``production``. Raises Refused."""
    values = [word for file in files for word in ("--values", str(file))]
    settings = [word for setting in sets for word in ("--set-json", setting)]
    command: list[str | Path] = [
        tool(helm),
        "template",
        "shop",
        CHART,
        "--namespace=production",
        f"--kube-version={version}",
    ]
    done = subprocess.run([*command, *values, *settings], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise Refused(done.stderr)
    return str(done.stdout)


def case(name: str) -> Path:
    """The values of a case."""
    return CHART / "ci" / f"{name}-values.yaml"


def manifests(text: str) -> Sequence[Manifest]:
    """What is between the lines of dashes."""
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(text: str, kind: str) -> Manifest:
    """The one manifest of this kind."""
    (found,) = [manifest for manifest in manifests(text) if manifest["kind"] == kind]
    return found


def pod_of(manifest: Manifest) -> Manifest | None:
    """The Pod that it is or makes."""
    if manifest["kind"] == "Pod":
        return manifest
    template: Manifest | None = manifest.get("spec", {}).get("template")
    return template


def containers(pod: Manifest) -> Iterator[Manifest]:
    """All of a Pod."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod["spec"].get(field) or ()  # a list without an entry is rendered as null


def bridge_container(text: str) -> Manifest:
    """The bridge in the one workload."""
    pods = [pod for manifest in manifests(text) if manifest["kind"] != "Pod" and (pod := pod_of(manifest))]
    (found,) = [found for pod in pods for found in containers(pod) if found["name"] == "workflow-bridge"]
    return found


def mistakes(manifest: Manifest, version: str) -> list[str]:
    """What Kubernetes of this version, or the operator whose resource it is, does not take: unknown fields included."""
    found = []
    for error in validator(manifest["apiVersion"], manifest["kind"], version).iter_errors(manifest):
        path = "/".join(map(str, error.instance_path))
        found.append(f"{manifest['kind']} {path}: {error.message}")
    return found


@cache
def validator(api_version: str, kind: str, version: str) -> jsonschema_rs.Draft7Validator:
    """Of a kind of resource: Kubernetes' own by the version, others by the schema of their definition."""
    if "." in api_version.split("/", maxsplit=1)[0] and not api_version.split("/", maxsplit=1)[0].endswith(".k8s.io"):
        return jsonschema_rs.Draft7Validator(json.loads((OWN_SCHEMAS / f"{kind.lower()}.json").read_text()))
    group, _, number = api_version.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.split(".")[0], number)))
    folder = f"{SETS}/v{version}-local-strict"

    def neighbour(uri: str) -> Any:
        return _read(f"{folder}/{uri.rpartition('/')[2]}")

    return jsonschema_rs.Draft7Validator(_read(f"{folder}/{name}.json"), retriever=neighbour)


@cache
def _read(name: str) -> Any:
    with zipfile.ZipFile(tool(SCHEMAS)) as archive:
        return json.loads(archive.read(name))


def restricted_violations(pod: Manifest, version: str) -> list[str]:
    """Against the restricted Pod Security Standard, as its page says it, for every container of whatever sort."""
    spec = pod["spec"]
    security = spec.get("securityContext", {})
    found = [f"spec.{field}" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    found += [f"volume {volume['name']}" for volume in spec.get("volumes", ()) if not VOLUMES & volume.keys()]
    found += ["spec.securityContext.sysctls"] if security.get("sysctls") else []
    for container in containers(pod):
        found += [f"{container['name']}: {what}" for what in _violations(container, security, version)]
    return found


VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"),
}
HOST_PROBES_SINCE = 34  # the minor version in which a probe of another host became a violation


def _violations(container: Manifest, pod_security: Manifest, version: str) -> list[str]:
    own = container.get("securityContext", {})
    effective = {**{key: pod_security.get(key) for key in ("runAsNonRoot", "runAsUser", "seccompProfile")}, **own}
    capabilities = own.get("capabilities", {})
    probes = [container.get(f"{name}Probe", {}) for name in ("startup", "liveness", "readiness")]
    asks_elsewhere = any(probe.get("httpGet", {}).get("host") for probe in probes)
    violated = {
        "privileged": own.get("privileged"),
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is not False,
        "capabilities.drop": "ALL" not in capabilities.get("drop", ()),
        "capabilities.add": {*capabilities.get("add", ())} - {"NET_BIND_SERVICE"},
        "runAsNonRoot": effective["runAsNonRoot"] is not True,
        "runAsUser": effective["runAsUser"] == 0,
        "seccompProfile": effective["seccompProfile"] != {"type": "RuntimeDefault"},
        "procMount": own.get("procMount", "Default") != "Default",
        "hostPort": any(port.get("hostPort") for port in container.get("ports", ())),
        "host of a probe": asks_elsewhere and int(version.split(".")[1]) >= HOST_PROBES_SINCE,
    }
    return [what for what, is_so in violated.items() if is_so]

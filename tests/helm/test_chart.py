"""The chart over modes, options and Kubernetes' versions: what it renders, refuses, and allows its Pods."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import bridge
from bridge.metrics import TABLE
from tests.helm.chart import (
    CASES,
    CHART,
    VERSIONS,
    Refused,
    bridge_container,
    case,
    containers,
    manifests,
    mistakes,
    of_kind,
    pod_of,
    rendered,
    restricted_violations,
)
from tests.services.tools import HELM_3, HELM_4, KUBECTL, tool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GOLDEN = Path(__file__).with_name("golden")


@pytest.mark.parametrize("name", CASES)
def test_it_renders_what_it_rendered(name: str) -> None:
    """As in ``golden/``, for each version of Kubernetes, by Helm 3 and 4; ``GOLDEN=write`` writes the files anew."""
    text = rendered(case(name)).replace(f"workflow-bridge-{bridge.__version__}", "workflow-bridge-VERSION")
    text = text.replace(bridge.__version__, "VERSION")
    elsewhere = ("templates/prometheusrule.yaml", "templates/dashboards.yaml")  # other people's files, compared below
    documents = re.split(r"(?m)^---\n", text)
    text = "---\n".join(d for d in documents if d.strip() and not d.split("\n")[0].endswith(elsewhere))
    file = GOLDEN / f"{name}.yaml"
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("name", CASES)
def test_every_version_gets_the_same_and_takes_it(name: str) -> None:
    """Kubernetes 1.29 to 1.36 know each field of each manifest; operators know those of their own resources."""
    text = rendered(case(name))
    assert rendered(case(name), helm=HELM_3) == text
    for version in (VERSIONS[0], VERSIONS[-1]):
        assert rendered(case(name), version=version) == text
    found = {version: [m for manifest in manifests(text) for m in mistakes(manifest, version)] for version in VERSIONS}
    assert found == {version: [] for version in VERSIONS}


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("StatefulSet", lambda m: m["spec"].update(replicaz=1)),
        ("PodMonitor", lambda m: m["spec"]["podMetricsEndpoints"][0].update(port=8080)),
        ("PrometheusRule", lambda m: m["spec"]["groups"][0]["rules"][0].update({"for": "5minutes"})),
        ("NetworkPolicy", lambda m: m["spec"].update(policyTypes="Egress")),
    ],
)
def test_a_wrong_field_is_noticed(kind: str, spoil: Callable[[Any], None]) -> None:
    """The test above can fail, for Kubernetes' resources and for others."""
    manifest = copy.deepcopy(of_kind(rendered(case("statefulset-everything")), kind))
    spoil(manifest)
    assert mistakes(manifest, "1.33.0")


@pytest.mark.parametrize("name", CASES)
def test_every_container_fits_the_restricted_profile(name: str) -> None:
    """The application beside a sidecar too; the sidecar by what stands in it alone."""
    pods = [pod for manifest in manifests(rendered(case(name))) if (pod := pod_of(manifest))]
    assert pods or name == "sidecar-included"
    for pod in pods:
        for version in VERSIONS:
            assert restricted_violations(pod, version) == []


@pytest.mark.parametrize("field", ["allowPrivilegeEscalation", "capabilities", "runAsNonRoot", "seccompProfile"])
def test_a_sidecar_that_leaves_something_to_its_pod_is_noticed(field: str) -> None:
    """The profile's own fields are in the container: a Pod without any is no help to it."""
    pod = copy.deepcopy(pod_of(of_kind(rendered(case("sidecar")), "Deployment")))
    assert pod is not None
    pod["spec"]["securityContext"].clear()
    assert restricted_violations(pod, "1.33.0") == []
    pod["spec"]["initContainers"][0]["securityContext"].pop(field)
    assert restricted_violations(pod, "1.33.0") != []


@pytest.mark.parametrize("name", CASES)
def test_pods_are_hardened(name: str) -> None:
    """Nothing of Kubernetes' is given, the root is read-only, the configuration can change, ports are numbers."""
    for manifest in manifests(rendered(case(name))):
        pod = pod_of(manifest)
        if pod is None:
            continue
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["enableServiceLinks"] is False
        ours = [c for c in containers(pod) if "workflow-bridge" in c["image"]]
        assert len(ours) == 1
        for container in ours:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["runAsUser"] == 10001
            assert not container["image"].endswith(":latest")
            assert container["resources"]["requests"]
            assert container["resources"]["limits"]["memory"]
            assert not [mount for mount in container.get("volumeMounts", ()) if "subPath" in mount]
            assert all(isinstance(p["httpGet"]["port"], int) for key, p in container.items() if key.endswith("Probe"))
            assert "command" not in container, "the image's entry point is PID 1"


def test_a_native_sidecar_is_an_init_container_that_goes_on() -> None:
    """And starts the application when its own process is up; a plain one is beside it."""
    native = of_kind(rendered(case("sidecar")), "Deployment")["spec"]["template"]["spec"]
    assert [(c["name"], c["restartPolicy"]) for c in native["initContainers"]] == [("workflow-bridge", "Always")]
    assert native["initContainers"][0]["startupProbe"]["httpGet"]["path"] == "/startupz"
    assert "readinessProbe" not in native["initContainers"][0], "switched off in this case"
    assert [c["name"] for c in native["containers"]] == ["orders"]
    plain = of_kind(rendered(case("sidecar-plain")), "Deployment")["spec"]["template"]["spec"]
    assert "initContainers" not in plain
    assert [c["name"] for c in plain["containers"]] == ["orders", "workflow-bridge"]


def test_replicas_divide_partitions_and_quota() -> None:
    """By the Pod's number, which no update changes; another source is left alone."""
    environment = {e["name"]: e for e in bridge_container(rendered(case("statefulset-everything")))["env"]}
    index = environment["WORKFLOW_BRIDGE_SOURCES__ORDERS__ASSIGN__INDEX"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert index == "metadata.labels['apps.kubernetes.io/pod-index']"
    assert environment["WORKFLOW_BRIDGE_SOURCES__ORDERS__ASSIGN__OF"]["value"] == "3"
    assert environment["WORKFLOW_BRIDGE_TARGETS__MAIN__BUDGET__SHARE"]["value"] == "0.3333"
    assert not [name for name in environment if "PAYMENTS" in name]


def test_a_changed_configuration_makes_new_pods_where_reload_is_off() -> None:
    """By a checksum; with reload on nothing of the Pod changes."""

    def annotations(reload: str, rule: str) -> Mapping[str, str]:
        sets = (f'reload={{"enabled": {reload}}}', f'config.rules=[{{"name": "{rule}", "drop": "x"}}]')
        pod = of_kind(rendered(case("statefulset"), sets=sets), "StatefulSet")["spec"]["template"]
        found: Mapping[str, str] = pod["metadata"]["annotations"]
        return found

    assert annotations("false", "a")["checksum/config"] != annotations("false", "b")["checksum/config"]
    assert annotations("true", "a") == annotations("true", "b")


CONTRADICTIONS = {
    "config and existingConfigMap": ("statefulset", 'existingConfigMap="x"'),
    "config: give the bridge": ("statefulset", "config=null"),
    "keda.enabled: a sidecar": ("sidecar", 'keda={"enabled": true, "serverAddress": "http://p"}'),
    "keda.enabled: a StatefulSet": ("statefulset", 'keda={"enabled": true, "serverAddress": "http://p"}'),
    "keda.serverAddress": ("deployment", 'keda={"enabled": true}'),
    "persistence.enabled: a statefulset": ("statefulset", "persistence.enabled=false"),
    "outbox.type: sqlite on an emptyDir": ("sidecar", 'outbox.type="sqlite"'),
    "one volume is for one replica": ("statefulset-everything", 'persistence.existingClaim="x"'),
    "config.dead_letters": ("sidecar", "config.dead_letters=null"),
    "config.outbox.type": ("statefulset", 'config.outbox={"type": "memory"}'),
    "drain.limitSeconds": ("statefulset", "drain.limitSeconds=45"),
    "terminationGracePeriodSeconds": ("statefulset", "drain.limitSeconds=40"),
    "networkPolicy.enabled": ("sidecar", "networkPolicy.enabled=true"),
    "networkPolicy.brokers": ("statefulset", "networkPolicy.enabled=true"),
    "serviceMonitor.enabled: a sidecar": ("sidecar", "serviceMonitor.enabled=true"),
    "serviceMonitor.enabled: needs service": ("deployment", "service.enabled=false"),
    "counted twice": ("deployment", "podMonitor.enabled=true"),
    "belongs to mode: sidecar": ("sidecar", 'mode="deployment"'),
    "bridge.yaml is what config is for": ("statefulset", 'configFiles={"bridge.yaml": "x"}'),
}


@pytest.mark.parametrize("words", CONTRADICTIONS)
def test_a_contradiction_is_told_with_what_to_do(words: str) -> None:
    """Before anything is installed."""
    name, setting = CONTRADICTIONS[words]
    with pytest.raises(Refused, match=re.escape(words)):
        rendered(case(name), sets=(setting,))


@pytest.mark.parametrize(
    "setting",
    [
        "typo=1",
        "image.tagg=1",
        'mode="daemonset"',
        "health.port=99999",
        'replicas="two"',
        'persistence.accessModes=["ReadWriteMany"]',
        'image.digest="sha256:12"',
        'secretMounts=[{"mountPath": "/a"}]',
        "probes.liveness.httpGet={}",
        'podMonitor.interval="often"',
        'log.level="loud"',
        'cloudflare.token="secret"',
    ],
)
@pytest.mark.parametrize("helm", [HELM_3, HELM_4])
def test_the_schema_refuses_what_is_no_value(setting: str, helm: str) -> None:
    """Unknown keys, wrong types, and secrets themselves."""
    with pytest.raises(Refused, match="schema"):
        rendered(case("statefulset"), sets=(setting,), helm=helm)


def keys(values: Any, before: str = "") -> set[str]:
    """The paths of all values; what a user fills is one."""
    if not isinstance(values, dict) or not values or before.rstrip(".") in FILLED:
        return {before.rstrip(".")}
    return {found for key, inner in values.items() for found in keys(inner, f"{before}{key}.")}


FILLED = {
    "resources",
    "sidecar.application.podSecurityContext",
    "networkPolicy.monitoringNamespaceLabels",
    "networkPolicy.dnsNamespaceLabels",
}


def schema_keys(schema: Any, before: str = "") -> set[str]:
    if "properties" not in schema or before.rstrip(".") in FILLED:
        return {before.rstrip(".")}
    return {found for key, inner in schema["properties"].items() for found in schema_keys(inner, f"{before}{key}.")}


def test_the_schema_knows_every_value_and_no_other() -> None:
    """``enabled`` alone is a parent chart's."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema_keys(schema) == keys(values) | {"enabled"}


def documented() -> str:
    """The table of values, made of values.yaml and the lines above each value."""
    rows, path, said = [], [""], ""
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    for line in (CHART / "values.yaml").read_text().splitlines():
        if line.strip().startswith("# -- "):
            said = line.strip()[5:]
        elif match := re.match(r"^( *)([A-Za-z]+):", line):
            path = [*path[: len(match[1]) // 2], match[2]]
            if said:
                value = defaults
                for key in path:
                    value = value[key]
                shown = json.dumps(value) if value not in ("", [], {}) else ""
                rows.append(f"| `{'.'.join(path)}` | {f'`{shown}`' if shown else ''} | {said} |")
                said = ""
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *rows])


def test_the_readme_has_every_value() -> None:
    """Its table is made of values.yaml; ``GOLDEN=write`` writes it anew."""
    file = CHART / "README.md"
    begin, end = "<!-- values: made of values.yaml, a test compares -->\n", "\n<!-- end of values -->"
    before, _, rest = file.read_text().partition(begin)
    table, _, after = rest.partition(end)
    assert set(re.findall(r"^\| `([^`]+)`", documented(), re.MULTILINE)) == keys(
        yaml.safe_load((CHART / "values.yaml").read_text())
    )
    if os.environ.get("GOLDEN") == "write":
        file.write_text(before + begin + documented() + end + after)
        table = documented()
    assert table == documented()


def test_all_alerts_and_dashboards_are_in_it() -> None:
    """Rules but for those that were left out; each dashboard in a ConfigMap for Grafana."""
    text = rendered(case("statefulset-everything"))
    rules = [rule for group in of_kind(text, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    source = yaml.safe_load((CHART / "alerts/workflow-bridge.rules.yaml").read_text())
    expected = [rule for group in source["groups"] for rule in group["rules"]]
    assert [r for r in rules if "record" in r] == [r for r in expected if "record" in r]
    names = {rule["alert"] for rule in expected if "alert" in rule} - {"WorkflowBridgeAbsent"}
    assert {rule["alert"] for rule in rules if "alert" in rule} == names
    urls = {rule["annotations"]["runbook_url"].partition("#")[0] for rule in rules if "alert" in rule}
    assert urls == {"https://wiki.example.com/bridge"}
    found = [m for m in manifests(text) if m["metadata"].get("labels", {}).get("grafana_dashboard") == "1"]
    shown = {name: json.loads(text) for m in found for name, text in m["data"].items()}
    assert shown == {path.name: json.loads(path.read_text()) for path in (CHART / "dashboards").glob("*.json")}


def test_keda_goes_by_a_metric_that_exists() -> None:
    """The sum over all Pods is how many there should be; the threshold makes replicas of it."""
    (trigger,) = of_kind(rendered(case("deployment-keda")), "ScaledObject")["spec"]["triggers"]
    assert set(re.findall(r"workflow_bridge_\w+", trigger["metadata"]["query"])) <= {row.name for row in TABLE}
    assert trigger["metadata"]["query"].startswith("sum(")
    assert (trigger["metadata"]["threshold"], trigger["metricType"]) == ("1", "AverageValue")


@pytest.mark.parametrize("helm", [HELM_3, HELM_4])
def test_helm_lint_finds_nothing(helm: str) -> None:
    """Strictly, with each case."""
    for name in CASES:
        command: list[str | Path] = [
            tool(helm),
            "lint",
            "--strict",
            "--kube-version=1.33.0",
            CHART,
            "--values",
            case(name),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_versions_are_those_of_the_package() -> None:
    """Chart and image have the version of pyproject.toml."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (bridge.__version__, bridge.__version__)


PARENT = {
    "Chart.yaml": """
apiVersion: v2
name: orders
version: 1.0.0
dependencies:
  - {name: workflow-bridge, version: ">=0.1.0-0", repository: "file://BRIDGE"}
""",
    "templates/deployment.yaml": """
{{- $bridge := index .Subcharts "workflow-bridge" }}
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  selector: {matchLabels: {app: orders}}
  template:
    metadata:
      labels:
        app: orders
        {{- include "workflow-bridge.sidecar.podLabels" $bridge | nindent 8 }}
      annotations:
        {{- include "workflow-bridge.sidecar.podAnnotations" $bridge | nindent 8 }}
    spec:
      initContainers:
        {{- include "workflow-bridge.sidecar.initContainers" $bridge | nindent 8 }}
      containers:
        - {name: orders, image: "registry.example.com/orders:1"}
        {{- include "workflow-bridge.sidecar.containers" $bridge | nindent 8 }}
      volumes:
        {{- include "workflow-bridge.sidecar.volumes" $bridge | nindent 8 }}
""",
}


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("helm", [HELM_3, HELM_4])
def test_another_chart_includes_the_sidecar(helm: str, native: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """As a dependency: its Pod has the same container as the one that this chart makes; the rest comes with it."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / "workflow-bridge").symlink_to(CHART)
    for name, text in PARENT.items():
        (tmp_path / name).write_text(text.replace("BRIDGE", str(CHART)))
    values = {**yaml.safe_load(case("sidecar-included").read_text()), "enabled": True, "sidecar": {"native": native}}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({"workflow-bridge": values}))
    command: list[str | Path] = [
        tool(helm),
        "template",
        "shop",
        tmp_path,
        "--namespace=production",
        "--kube-version=1.33.0",
    ]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    deployment = of_kind(text, "Deployment")
    assert mistakes(deployment, "1.33.0") == []
    (sidecar,) = [c for c in containers(deployment["spec"]["template"]) if c["name"] == "workflow-bridge"]
    assert sidecar == bridge_container(rendered(case("sidecar" if native else "sidecar-plain")))
    assert {m["kind"] for m in manifests(text)} == {"Deployment", "ConfigMap", "PodMonitor"}
    selector = of_kind(text, "PodMonitor")["spec"]["selector"]["matchLabels"]
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_the_kustomize_component_adds_the_same_sidecar() -> None:
    """To Deployments that ask for it by a label, and to no other; by kubectl, without a cluster."""
    done = subprocess.run(
        [tool(KUBECTL), "kustomize", CHART / "kustomize" / "example"], capture_output=True, text=True, check=True
    )
    assert all(mistakes(m, "1.33.0") == [] for m in manifests(done.stdout))
    pods = {m["metadata"]["name"]: m["spec"]["template"] for m in manifests(done.stdout) if m["kind"] == "Deployment"}
    assert [c["name"] for c in containers(pods["other"])] == ["other"]
    theirs, ours = pods["orders"]["spec"], of_kind(rendered(case("sidecar")), "Deployment")["spec"]["template"]["spec"]
    (sidecar,) = [c for c in theirs["initContainers"] if c["name"] == "workflow-bridge"]
    expected = copy.deepcopy(ours["initContainers"][0])
    expected["env"] = [e for e in expected["env"] if "SHARE" not in e["name"]]  # how many Pods there are it cannot know
    expected["readinessProbe"] = sidecar["readinessProbe"]  # the case has switched its own off
    assert sidecar == expected
    assert sidecar["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": 8080}
    names = {"shop-workflow-bridge-config": "workflow-bridge-config"}
    volumes = [json.loads(json.dumps(v).replace(*next(iter(names.items())))) for v in ours["volumes"]]
    shorten = re.compile(r"workflow-bridge-config-\w+")
    assert [json.loads(shorten.sub("workflow-bridge-config", json.dumps(v))) for v in theirs["volumes"]] == volumes
    assert restricted_violations({"spec": {**theirs, "containers": []}}, "1.33.0") == []

"""The chart, linted and rendered by Helm's code and validated with the Kubernetes schemas."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
CHART = CHECKOUT / "packaging/helm/progpow-miner"
VALUES = sorted(CHART.glob("ci/*-values.yaml"))
KUBERNETES = ("1.29", "1.32", kubernetes_validate.latest_version())
MONITORING = "monitoring.coreos.com/v1"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rendered(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rendered objects by kind."""
    with helm_python.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values)
        texts = chart.render(values, name="rig", namespace="mining")
    objects = [
        found
        for name, text in texts.items()
        if not name.endswith("NOTES.txt")
        for found in yaml.safe_load_all(text)
        if found
    ]
    return {
        found["kind"] + "/board" * found["metadata"]["name"].endswith("-dashboard"): found
        for found in objects
    }


def pod(values: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = rendered(values)["DaemonSet"]["spec"]["template"]["spec"]
    return spec


def container(values: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod(values)["containers"]
    assert isinstance(only, dict)
    return only


def environment(values: dict[str, Any]) -> dict[str, Any]:
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container(values)["env"]}


NVIDIA, AMD, INTEL, CPU = ALL = [
    read(CHART / f"ci/{name}-values.yaml") for name in ("nvidia", "amd", "intel", "cpu")
]


def test_helm_lint() -> None:
    assert len(VALUES) == len(ALL)
    for path in VALUES:
        found = helm_python.lint(str(CHART), read(path), strict=True)
        worst = [m for m in found["messages"] if m["severity"] > 1]
        assert (worst, found["errors"]) == ([], []), path.name


def test_chart_versions() -> None:
    from miner import __version__

    chart = read(CHART / "Chart.yaml")
    assert chart["appVersion"] == chart["version"] == __version__


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("path", VALUES, ids=lambda path: path.stem)
def test_objects_match_the_kubernetes_schemas(path: Path, version: str) -> None:
    objects = rendered(read(path))
    assert "DaemonSet" in objects
    for found in objects.values():
        if found["apiVersion"] != MONITORING:
            kubernetes_validate.validate(found, version, strict=True)


POOLED = {"coin": "RVN", "pools": [{"url": "a:1"}]}


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({**POOLED, "coin": ""}, "at '': 'oneOf' failed"),
        ({"coin": "RVN"}, "at '/pools'"),
        ({**POOLED, "variant": "kawpow"}, "at '': 'oneOf' failed"),
        ({**POOLED, "pools": [{"user": "w"}]}, "at '/pools/0': missing property 'url'"),
        ({**POOLED, "image": {"target": "rocm"}}, "at '/image/target'"),
        ({**POOLED, "devices": {"count": 0}}, "at '/devices/count'"),
        ({**POOLED, "replicas": 2}, "'replicas' not allowed"),
        ({**POOLED, "podMonitor": {"interval": "soon"}}, "at '/podMonitor/interval'"),
        ({**POOLED, "api": {"token": "guessed"}}, "at '/api/token'"),
        ({**POOLED, "pools": [{"url": "http://me:secret@node:8766"}]}, "at '/pools/0/url'"),
    ],
)
def test_invalid_values_are_rejected(wrong: dict[str, Any], place: str) -> None:
    rendered(POOLED)
    with pytest.raises(helm_python.HelmError) as caught:
        rendered(wrong)
    assert place in str(caught.value)


def test_every_default_is_described() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    described = set(schema["properties"]) - {"global"}
    assert described == set(read(CHART / "values.yaml"))


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        (NVIDIA, {"nvidia.com/gpu": 4, "memory": "6Gi"}),
        (AMD, {"amd.com/gpu": 1, "memory": "6Gi"}),
    ],
)
def test_resource_limits(values: dict[str, Any], limits: dict[str, Any]) -> None:
    found = container(values)["resources"]
    assert found["limits"] == limits
    assert found["requests"] == {"cpu": "500m", "memory": "2Gi"}


def test_no_resource_limits_without_gpus() -> None:
    found = container(CPU)["resources"]
    assert not any("/" in name for part in found.values() for name in part)
    assert "nodeSelector" not in pod(CPU)


@pytest.mark.parametrize("values", ALL)
def test_the_container_is_restricted(values: dict[str, Any]) -> None:
    spec = pod(values)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == (12345 if values is INTEL else 10001)
    assert spec["automountServiceAccountToken"] is False
    assert container(values)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounted = {m["mountPath"] for m in container(values)["volumeMounts"] if not m.get("readOnly")}
    assert mounted == {"/cache", "/state", "/tmp"}


@pytest.mark.parametrize("values", ALL)
def test_probes_and_grace_period(values: dict[str, Any]) -> None:
    found = container(values)
    for probe, path in (
        ("livenessProbe", "/livez"),
        ("startupProbe", "/livez"),
        ("readinessProbe", "/readyz"),
    ):
        assert found[probe]["httpGet"] == {"path": path, "port": "api"}
    assert found["ports"] == [{"name": "api", "containerPort": 4067}]
    assert pod(values)["terminationGracePeriodSeconds"] == 30


def test_accounts_are_only_in_the_secret() -> None:
    values = {**NVIDIA, "pools": [{"url": "a:1", "user": 'WAL"LET', "password": "s3cr3t: '"}]}
    objects = rendered(values)
    data = objects.pop("Secret")["data"]
    assert {k: base64.b64decode(v).decode() for k, v in data.items()} == {
        "pool-1-user": 'WAL"LET',
        "pool-1-password": "s3cr3t: '",
    }
    assert "s3cr3t" not in json.dumps(objects)
    assert "WAL" not in json.dumps(objects)


def test_an_existing_secret() -> None:
    assert "Secret" not in rendered(AMD)
    user = environment(AMD)["PROGPOW_MINER_POOL_USER"]["secretKeyRef"]
    assert (user["name"], user["key"]) == ("mining-account", "pool-1-user")
    (volume,) = [v for v in pod(AMD)["volumes"] if v["name"] == "secret"]
    assert volume["secret"]["secretName"] == "mining-account"


@pytest.mark.parametrize("wrong", [{"pools": [{"url": "a:1", "user": "W"}]},
                                   {"api": {"token": "a-token-that-is-long-enough"}}])  # fmt: skip
def test_an_account_beside_an_existing_secret_is_rejected(
    wrong: dict[str, Any],
) -> None:
    with pytest.raises(helm_python.HelmError, match="existingSecret"):
        rendered({**AMD, **wrong})


def test_a_changed_password_restarts_the_miner() -> None:
    def mark(values: dict[str, Any]) -> dict[str, str]:
        template = rendered(values)["DaemonSet"]["spec"]["template"]
        annotations: dict[str, str] = template["metadata"]["annotations"]
        return annotations

    other = {**NVIDIA, "pools": [{**NVIDIA["pools"][0], "password": "another"}]}
    assert mark(NVIDIA) == mark(NVIDIA)
    assert mark(NVIDIA) != mark(other)
    assert mark(NVIDIA) != mark({**NVIDIA, "settings": "give_up = 600"})


@pytest.mark.parametrize(
    "text",
    ["  give_up = 600\nshares = 3\n", "rig = '{{ .Values.coin }} <&> \u00e4'\r\n", "\n# a: b\n\n"],
)
def test_the_settings_are_kept_literally(text: str) -> None:
    objects = rendered({**NVIDIA, "settings": text})
    assert objects["ConfigMap"]["data"]["config.toml"] == text


@pytest.mark.parametrize("values", ALL)
def test_the_settings_are_valid(values: dict[str, Any], tmp_path: Path) -> None:
    """With secrets and files as the kubelet provides them."""
    from miner.settings.loading import load

    objects = rendered(values)
    secret = {k: base64.b64decode(v) for k, v in objects.get("Secret", {}).get("data", {}).items()}
    secret = secret or {"pool-1-user": b"wallet"}
    secret.setdefault("api-token", b"a-token-of-ones-own")
    (tmp_path / "api-token").write_bytes(secret["api-token"])
    path = None
    if "ConfigMap" in objects:
        path = tmp_path / "config.toml"
        path.write_text(objects["ConfigMap"]["data"]["config.toml"], encoding="utf-8")
    variables = {}
    for name, value in environment(values).items():
        if isinstance(value, str):
            variables[name] = value
        elif "fieldRef" in value:
            variables[name] = "node-1"
        elif value["secretKeyRef"]["key"] in secret:
            variables[name] = secret[value["secretKeyRef"]["key"]].decode()
    variables["PROGPOW_MINER_API_TOKEN_FILE"] = str(tmp_path / "api-token")
    variables.pop("PROGPOW_MINER_CONFIG", None)
    settings = load(path, {}, environ=variables).settings
    assert settings.api.listen == "0.0.0.0:4067"
    assert settings.rig == "node-1"
    assert [p.url for p in settings.pools] == [p["url"] for p in values["pools"]]
    expected = "node-1" if values.get("workerFromNode", True) else None
    assert {p.worker for p in settings.pools} == {expected}


def test_pod_monitor() -> None:
    objects = rendered(NVIDIA)
    monitor = objects["PodMonitor"]
    assert monitor["apiVersion"] == MONITORING
    labels = objects["DaemonSet"]["spec"]["template"]["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("api", "/metrics")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    named = {r["targetLabel"]: r["sourceLabels"] for r in endpoint["relabelings"][:2]}
    assert named == {key: ["__meta_kubernetes_pod_node_name"] for key in ("node", "instance")}
    assert endpoint["relabelings"][2]["regex"].split("|") == ["pod", "container", "endpoint"]
    assert "PodMonitor" not in rendered(AMD)


@pytest.mark.parametrize("values", ALL)
def test_rendering_twice_gives_the_same_objects(values: dict[str, Any]) -> None:
    assert rendered(values) == rendered(values)


def test_without_a_token_each_pod_makes_its_own(tmp_path: Path) -> None:
    spec = pod(NVIDIA)
    (maker,) = spec["initContainers"]
    (volume,) = [v for v in spec["volumes"] if v["name"] == "secret"]
    assert volume["emptyDir"]["medium"] == "Memory"
    python, option, code = maker["command"]
    assert (python, option) == ("python", "-c")
    mounted = maker["volumeMounts"][0]["mountPath"]
    path = environment(NVIDIA)["PROGPOW_MINER_API_TOKEN_FILE"]
    assert Path(path).parent == Path(mounted)
    tokens = set()
    for folder in (tmp_path / "a", tmp_path / "b", tmp_path / "b"):
        folder.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "-c", code.replace(mounted, str(folder))], check=True)
        assert (folder / "api-token").stat().st_mode & 0o777 == 0o600
        tokens.add((folder / "api-token").read_text(encoding="utf-8"))
    assert len(tokens) == 2, "a restarted container keeps its token"
    assert all(len(token) >= 32 for token in tokens)
    for values in (AMD, CPU):
        assert "initContainers" not in pod(values)


def test_a_changed_token_restarts_the_miner() -> None:
    marks = [
        rendered({**CPU, "api": {"token": token * 16}})["DaemonSet"]["spec"]["template"]["metadata"]
        for token in "ab"
    ]
    assert marks[0] != marks[1]


def test_a_fifth_of_the_nodes_is_updated_at_once() -> None:
    strategy = rendered(NVIDIA)["DaemonSet"]["spec"]["updateStrategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "20%"}}


def test_the_cluster_may_choose_the_user() -> None:
    none = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
    context = pod({**NVIDIA, "podSecurityContext": none})["securityContext"]
    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_network_and_account() -> None:
    spec = pod(INTEL)
    assert (spec["hostNetwork"], spec["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    account = rendered(INTEL)["ServiceAccount"]
    assert spec["serviceAccountName"] == account["metadata"]["name"]
    assert account["automountServiceAccountToken"] is False
    policy = rendered(INTEL)["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    (rule,) = policy["ingress"]
    assert rule["ports"] == [{"port": "api"}]
    assert rule["from"] == INTEL["networkPolicy"]["from"]
    closed = rendered({**INTEL, "networkPolicy": {"enabled": True, "from": []}})
    assert closed["NetworkPolicy"]["spec"]["ingress"] == []
    assert not {"hostNetwork", "dnsPolicy", "serviceAccountName"} & set(pod(NVIDIA))
    assert not {"ServiceAccount", "NetworkPolicy"} & set(rendered(NVIDIA))


def test_one_number_of_a_probe_can_be_changed() -> None:
    probe = container(INTEL)["startupProbe"]
    assert (probe["failureThreshold"], probe["periodSeconds"]) == (120, 5)


def test_volumes_of_the_node_get_an_owner() -> None:
    first, _ = pod(INTEL)["initContainers"]
    assert first["command"] == ["chown", "12345:0", "/cache", "/state"]
    assert first["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}
    sources = {v["name"]: v for v in pod(INTEL)["volumes"]}
    assert sources["cache"]["hostPath"]["type"] == "DirectoryOrCreate"
    assert sources["state"]["persistentVolumeClaim"] == {"claimName": "shares"}


def test_rules_and_board_are_those_of_the_checkout() -> None:
    objects, grafana = rendered(INTEL), CHECKOUT / "packaging/grafana"
    rule, board = objects["PrometheusRule"], objects["ConfigMap/board"]
    assert rule["apiVersion"] == MONITORING
    assert rule["spec"] == read(grafana / "alerts.yml")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert board["data"] == {"progpow-miner.json": (grafana / "progpow-miner.json").read_text()}
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    (endpoint,) = objects["PodMonitor"]["spec"]["podMetricsEndpoints"]
    assert endpoint["params"] == {"lean": ["1"]}
    assert not {"PrometheusRule", "ConfigMap/board"} & set(rendered(NVIDIA))

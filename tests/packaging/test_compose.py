"""The Compose files: valid and complete, with valid settings."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
COMPOSE = CHECKOUT / "packaging/compose"
OVERLAYS = {"nvidia": "cuda", "amd": "opencl"}
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<how>[-?])(?P<rest>[^}]*))?\}")


def variables() -> dict[str, str]:
    lines = (COMPOSE / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and line[0] != "#")


def filled_in(value: Any, given: Mapping[str, str]) -> Any:
    """Return `value` with variables substituted as Compose does."""

    def one(match: re.Match[str]) -> str:
        found = given.get(match["name"], "")
        if not found and match["how"] == "?":
            raise LookupError(match["rest"])
        return found or (match["rest"] if match["how"] == "-" else "")

    if isinstance(value, dict):
        return {key: filled_in(below, given) for key, below in value.items()}
    if isinstance(value, list):
        return [filled_in(below, given) for below in value]
    return VARIABLE.sub(one, value) if isinstance(value, str) else value


def load(name: str, given: Mapping[str, str] | None = None) -> dict[str, Any]:
    loaded = yaml.safe_load((COMPOSE / name).read_text(encoding="utf-8"))
    found: dict[str, Any] = filled_in(loaded, variables() if given is None else given)
    return found


def merged(base: Any, over: Any) -> Any:
    """Return both files merged as Compose does: lists are joined."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {k: merged(base.get(k), over.get(k)) for k in {**base, **over}}
    if isinstance(base, list) and isinstance(over, list):
        return base + over
    return base if over is None else over


STACK = load("compose.yaml")
SERVICES = STACK["services"]


@pytest.mark.parametrize("overlay", ["", *OVERLAYS])
def test_the_files_follow_the_compose_specification(overlay: str) -> None:
    found = merged(STACK, load(f"compose.{overlay}.yaml")) if overlay else STACK
    parsed = compose_spec.PyCompose.from_yaml(yaml.safe_dump(found))
    parsed.validate()
    assert set(parsed.service_names()) == {"miner", "prometheus", "grafana"}


def test_a_missing_variable_is_explained() -> None:
    sentences = {"COIN": "as COIN=", "POOL_URL": "as POOL_URL=", "SECRETS_GROUP": "id -g"}
    for missing, sentence in sentences.items():
        given = {k: v for k, v in variables().items() if k != missing}
        with pytest.raises(LookupError, match=f"in .env.*{sentence}"):
            load("compose.yaml", given)


def test_every_target_is_in_the_dockerfile() -> None:
    dockerfile = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
    build = SERVICES["miner"]["build"]
    assert (COMPOSE / build["context"]).resolve() == CHECKOUT
    for overlay, target in OVERLAYS.items():
        text = (COMPOSE / f"compose.{overlay}.yaml").read_text(encoding="utf-8")
        assert f"TARGET={target}" in text
        assert re.search(rf"(?m)^FROM runtime AS {target}$", dockerfile)
    assert re.search(rf"(?m)^FROM runtime AS {build['target']}$", dockerfile)


def test_every_bound_file_exists() -> None:
    bound = [
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service["volumes"]
        if volume.startswith(".")
    ]
    assert len(bound) == 4
    for path in bound:
        assert (COMPOSE / path).exists(), path


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service["ports"]]
    assert len(published) == 3
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_container_is_restricted() -> None:
    miner = SERVICES["miner"]
    assert miner["read_only"] is True
    assert miner["tmpfs"] == ["/tmp"]
    assert miner["cap_drop"] == ["ALL"]
    assert {v.split(":")[1] for v in miner["volumes"]} == {"/cache", "/state"}


def test_every_service_comes_back_after_a_reboot() -> None:
    """A container that ended in order, as at a shutdown, starts again only with these."""
    assert {s["restart"] for s in SERVICES.values()} <= {"always", "unless-stopped"}


def test_secrets_are_read_by_their_group_and_by_no_other_user(tmp_path: Path) -> None:
    readme = (COMPOSE / "README.md").read_text(encoding="utf-8")
    (mask,) = re.findall(r"^umask (\d+)", readme, re.MULTILINE)
    file = tmp_path / "api_token"
    subprocess.run(["sh", "-c", f"umask {mask}; : > {file}"], check=True)
    assert file.stat().st_mode & 0o777 == 0o640, "the miner warns of files that all can read"
    for service in SERVICES.values():
        groups = service.get("group_add", [])
        assert bool(service.get("secrets")) == (variables()["SECRETS_GROUP"] in groups)
    assert 'sed -i "s/^SECRETS_GROUP=.*/SECRETS_GROUP=$(id -g)/" .env' in readme


def test_container_logs_are_limited() -> None:
    for name, service in SERVICES.items():
        options = service["logging"]["options"]
        assert re.fullmatch(r"\d+m", options["max-size"]), name
        assert int(options["max-file"]) > 1, name


def test_the_settings_are_valid(tmp_path: Path) -> None:
    from miner.errors import ConfigError
    from miner.settings.loading import load as load_settings

    environment = dict(SERVICES["miner"]["environment"])
    for name, value in environment.items():
        if str(value).startswith("/run/secrets/"):
            file = tmp_path / Path(value).name
            file.write_text("a-secret-that-is-long-enough\n", encoding="utf-8")
            assert file.name in SERVICES["miner"]["secrets"]
            environment[name] = str(file)
    with pytest.raises(ConfigError, match="placeholder WALLET"):
        load_settings(None, {}, environ=environment)
    environment["PROGPOW_MINER_POOL_USER"] = "an-account.rig"
    settings = load_settings(None, {}, environ=environment).settings
    assert settings.coin == "RVN"
    assert [p.url for p in settings.pools] == ["stratum+tcp://pool.example:3333"]
    assert settings.api.listen == "0.0.0.0:4067"
    assert settings.api.hosts == ("miner",)


def test_the_miner_accepts_the_host_name_of_prometheus() -> None:
    config = yaml.safe_load((COMPOSE / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    (job,) = config["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    (target,) = job["static_configs"][0]["targets"]
    environment = SERVICES["miner"]["environment"]
    port = environment["PROGPOW_MINER_API_LISTEN"].rpartition(":")[2]
    assert target == f"{environment['PROGPOW_MINER_API_HOSTS']}:{port}"
    mounted = {v.split(":")[1] for v in SERVICES["prometheus"]["volumes"]}
    assert set(config["rule_files"]) <= mounted


def test_grafana_finds_prometheus_and_the_board() -> None:
    provisioning = COMPOSE / "grafana/provisioning"
    source = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text("utf-8"))
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    boards = yaml.safe_load((provisioning / "dashboards/progpow-miner.yaml").read_text("utf-8"))
    folder = boards["providers"][0]["options"]["path"]
    (mounted,) = [v for v in SERVICES["grafana"]["volumes"] if folder in v]
    board = json.loads((COMPOSE / mounted.split(":")[0]).read_text(encoding="utf-8"))
    # The board offers all sources of this type; the provisioned one is the default.
    kinds = [v["query"] for v in board["templating"]["list"] if v["type"] == "datasource"]
    assert kinds == [source["datasources"][0]["type"]]
    assert source["datasources"][0]["isDefault"] is True

"""What is deployed beside the image: the compose file, Prometheus' settings and alerts, Grafana's dashboard."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from starlette.testclient import TestClient

from configs.settings import HOME, load_settings
from policy_topics.feedback.corrections import Correction
from policy_topics.feedback.store import Store

DEPLOY = HOME / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
SERVICE = COMPOSE["services"]["policy-topics"]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text("utf-8"))
ALERTS: dict[str, Any] = yaml.safe_load((DEPLOY / "alerts.yml").read_text("utf-8"))

MADE_BY_THE_USER = {"./keys", "../models/registry"}


def test_every_container_has_no_rights_and_a_read_only_disk() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
    assert SERVICE["user"].split(":")[0] not in ("0", "root")


def test_every_file_that_is_mounted_is_there() -> None:
    mounted = {volume.split(":")[0] for service in COMPOSE["services"].values() for volume in service["volumes"]}
    files = {source for source in mounted if source.startswith(".")}
    assert mounted - files == set(COMPOSE["volumes"])
    assert {source for source in files if not (DEPLOY / source).exists()} <= MADE_BY_THE_USER
    assert files >= MADE_BY_THE_USER


def test_the_service_can_write_to_its_data_and_to_tmp_alone() -> None:
    assert [volume for volume in SERVICE["volumes"] if not volume.endswith(":ro")] == ["data:/data"]
    assert [mount.split(":")[0] for mount in SERVICE["tmpfs"]] == ["/tmp"]


def test_its_settings_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICE["environment"].items():
        monkeypatch.setenv(name, value)
    serve = load_settings().serve
    assert (serve.keys, serve.keys_file) == ("required", Path("/keys/keys.json"))
    assert int(SERVICE["stop_grace_period"].removesuffix("s")) > serve.timeout_seconds


def test_it_is_asked_whether_it_is_ready() -> None:
    program, python, flag, code = SERVICE["healthcheck"]["test"]
    assert (program, python, flag) == ("CMD", "python", "-c")
    compile(code, "healthcheck", "exec")
    assert "http://127.0.0.1:3000/readyz" in code


@pytest.mark.skipif(shutil.which("docker") is None, reason="needs docker compose")
def test_docker_understands_the_compose_file() -> None:
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("needs docker compose")
    command = ["docker", "compose", "--file", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, env={"GRAFANA_PASSWORD": "x"}, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_copy_of_the_corrections_has_what_is_in_the_write_ahead_log(tmp_path: Path) -> None:
    guide = (HOME / "docs" / "deployment.md").read_text("utf-8")
    (code,) = re.findall(r'exec -T policy-topics python -c \\\n\s*"(.*?)" > runs/corrections\.db', guide)
    store = Store(f"sqlite:///{tmp_path}/feedback.db")
    for text in ("严守耕地红线。", "抓好春耕备耕。"):
        now = datetime.now(UTC)
        store.add([[Correction(str(uuid4()), text, (), ("agriculture",), None, "1", 1, now, None, None)]])
        copied = subprocess.run(
            [sys.executable, "-c", code.replace("/data/", f"{tmp_path}/")], capture_output=True, check=True
        )
        (tmp_path / "corrections.db").write_bytes(copied.stdout)
    assert (tmp_path / "feedback.db-wal").stat().st_size > 0
    assert len(Store(f"sqlite:///{tmp_path}/corrections.db").read()) == 2


def test_prometheus_asks_the_service_and_knows_the_alerts() -> None:
    prometheus = yaml.safe_load((DEPLOY / "prometheus.yml").read_text("utf-8"))
    (job,) = prometheus["scrape_configs"]
    assert job["static_configs"][0]["targets"] == ["policy-topics:3000"]
    assert [(DEPLOY / file).name for file in prometheus["rule_files"]] == ["alerts.yml"]
    targets = [volume.split(":")[1] for volume in COMPOSE["services"]["prometheus"]["volumes"]]
    assert "/etc/prometheus/alerts.yml" in targets and "/etc/prometheus/prometheus.yml" in targets


def test_grafana_finds_the_dashboard_and_its_source() -> None:
    targets = {volume.split(":")[0]: volume.split(":")[1] for volume in COMPOSE["services"]["grafana"]["volumes"]}
    (provider,) = yaml.safe_load((DEPLOY / "grafana" / "dashboards.yml").read_text("utf-8"))["providers"]
    assert targets["./grafana/dashboard.json"].startswith(provider["options"]["path"])
    (source,) = yaml.safe_load((DEPLOY / "grafana" / "datasource.yml").read_text("utf-8"))["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"] if panel["type"] != "row"} == {source["uid"]}


def test_no_two_panels_lie_upon_each_other() -> None:
    covered = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(covered) == len(set(covered))
    assert max(x for x, _ in covered) < 24


@pytest.mark.parametrize("of", ["dashboard", "alerts"])
def test_every_metric_that_is_asked_for_exists(of: str, client: TestClient) -> None:
    exposed = {name: labels for name, labels in exposition(client.get("/metrics").text)}
    asked = list(dashboard_expressions() if of == "dashboard" else alert_expressions())
    assert asked
    for expression in asked:
        names = set(re.findall(r"\b(?:policy_topics|process)_\w+", expression))
        assert names <= set(exposed), expression
        labels = {*re.findall(r"(\w+)(?:=~|!=|=)\"", expression), *re.findall(r"by \((\w+)", expression)}
        known = {"job", "instance", "le"}.union(*(exposed[name] for name in names))
        assert labels <= known, expression


def test_every_alert_says_what_it_is_in_both_languages_and_what_to_do() -> None:
    for rule in ALERTS["groups"][0]["rules"]:
        assert re.search(r"[一-鿿]", rule["annotations"]["summary"]), rule["alert"]
        assert rule["annotations"]["description"]
        assert rule["labels"]["severity"] in ("warning", "critical")


def dashboard_expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def alert_expressions() -> Iterator[str]:
    return (rule["expr"] for rule in ALERTS["groups"][0]["rules"])


LABELS = {
    "requests_total": {"path", "status"},
    "request_seconds": {"path"},
    "stage_seconds": {"stage"},
    "errors_total": {"code"},
    "topics_total": {"topic"},
    "model": {"name", "version"},
    "takeovers_total": {"result"},
    "drift": {"measure"},
}


def exposition(text: str) -> Iterator[tuple[str, set[str]]]:
    """Names that can be asked for, with their labels, by the types that /metrics declares."""
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M):
        labels = LABELS.get(name.removeprefix("policy_topics_"), set())
        for suffix in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
            yield name + suffix, labels

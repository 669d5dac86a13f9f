"""`policy-topics serve`: the BentoML server gets exactly the settings of the process that it replaces."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from configs.settings import HOME, SettingsError, load_settings
from policy_topics.errors import BundleError
from serve.run import environment, run

SERVE = """
import sys
from configs.settings import load_settings
from serve.run import run
run(load_settings(None, {"bundle": sys.argv[1], "serve.port": int(sys.argv[2]), "serve.max_items": 7}))
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free: int = probe.getsockname()[1]
        return free


def test_the_server_has_the_settings_of_files_and_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path
) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("serve: {max_items: 5}\nengine: {threads: 1}\n", "utf-8")
    monkeypatch.setenv("POLICY_TOPICS_CONFIG", str(file))
    monkeypatch.setenv("POLICY_TOPICS_SERVE__PORT", "4000")
    settings = load_settings(None, {"serve.port": 4001, "bundle": tiny_bundle})
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("POLICY_TOPICS_CONFIG")
    seen = load_settings()
    assert (seen.bundle, seen.engine, seen.serve) == (settings.bundle, settings.engine, settings.serve)


def test_a_relative_bundle_is_found_from_any_folder(monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path) -> None:
    monkeypatch.chdir(tiny_bundle.parent)
    settings = load_settings(None, {"bundle": tiny_bundle.name})
    assert Path(environment(settings)["POLICY_TOPICS_BUNDLE"]) == tiny_bundle


@pytest.mark.parametrize("registry", ["registry", None])
def test_the_server_has_the_registry_of_the_settings_or_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, registry: str | None
) -> None:
    folder = tmp_path / registry if registry else None
    for name, value in environment(load_settings(None, {"registry": folder})).items():
        monkeypatch.setenv(name, value)
    assert load_settings().registry == folder


def test_nothing_is_reported_to_the_makers_of_bentoml() -> None:
    assert environment(load_settings())["BENTOML_DO_NOT_TRACK"] == "True"


def test_a_port_in_use_is_named(tiny_bundle: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"{port}.*serve.port"):
            run(load_settings(None, {"serve.port": port, "bundle": tiny_bundle}))


def test_an_unknown_host_is_named(tiny_bundle: Path) -> None:
    with pytest.raises(SettingsError, match=r"serve\.host.*nowhere\.invalid"):
        run(load_settings(None, {"serve.host": "nowhere.invalid", "bundle": tiny_bundle}))


def test_a_missing_bundle_is_named_before_the_server_starts(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no model bundle"):
        run(load_settings(None, {"bundle": tmp_path}))


def test_it_serves_through_bentoml_and_ends_with_ctrl_c(tiny_bundle: Path, tmp_path: Path, port: int) -> None:
    inner = {**os.environ, "PYTHONPATH": str(HOME), "BENTOML_HOME": str(tmp_path)}
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tiny_bundle), str(port)],
        cwd=tmp_path,
        env=inner,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            assert ready(client), "the service did not get ready"
            assert client.get("/model").json()["limits"]["max_items"] == 7
            assert client.post("/classify", json={"items": [{"text": "推进高标准农田建设。"}]}).status_code == 200
            assert set(client.get("/docs.json").json()["paths"]) >= {"/classify", "/classify_document"}
            assert "text/html" in client.get("/").headers["content-type"]
            for nowhere in ("/nowhere", "/a%0Ab", "/page/a%0Ab/c"):
                assert client.get(nowhere).json()["code"] == "not_found"
            assert "policy_topics_requests_total" in client.get("/metrics").text
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
        server.communicate()


def ready(client: httpx.Client) -> bool:
    for _ in range(600):
        try:
            if client.get("/readyz").status_code == 200:
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    return False

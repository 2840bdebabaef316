"""A gateway of another API in a Compose project and in an image: cases ask it by its adapter."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compose_lab as lab
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[4]
EXAMPLE = ROOT / "docs" / "examples" / "spaces"
IMAGES = ("base", "gateway", "auth", "embed", "rerank", "vectordb", "metadata", "objectstore")
LEAK = "isolation/query::asking_for_foreign_text_returns_only_own_documents"
OWN = "isolation/query::a_token_is_limited_to_its_personas"
KILLED = "durability/acknowledged::acknowledged_documents_survive_a_kill[vectordb]"
NATIVE = "isolation/query::a_request_cannot_widen_itself[body]"

FRONT = f"""
services:
  spaces:
    image: ragdrill/gateway:0.1.0
    entrypoint: [python, /spaces/server.py]
    command: [--host, 0.0.0.0, --port, "9000", --behind, "http://rag-gateway:8080"]
    volumes: ["{EXAMPLE}/server.py:/spaces/server.py:ro"]
    healthcheck: {{ disable: true }}
    depends_on: [rag-gateway]
"""
DOCKERFILE = b"""
FROM ragdrill/gateway:0.1.0
COPY server.py /spaces/server.py
ENTRYPOINT ["sh", "-c", "python -m refstack.gateway --host 127.0.0.1 --port 8081 & \
exec python /spaces/server.py --host 0.0.0.0 --port 8080 --behind http://127.0.0.1:8081"]
"""


def verdicts(place: Path, target: Path, *cases: str, **env: str) -> dict[str, tuple[str, str]]:
    """Run cases on a target; verdict and message by case."""
    chosen = [word for case in cases for word in ("--case", case)]
    command = [sys.executable, "-m", "harness.cli.main", "verify", "--target", str(target)]
    done = subprocess.run(
        [*command, "--images", "local", "--run-dir", str(place / "run"), *chosen],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "AUTH_SCRYPT_ROUNDS": "1", **env},
        timeout=500,
        check=False,
    )
    history = place / "run" / "run.jsonl"
    assert history.exists(), done.stdout + done.stderr
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    seen = [each for each in lines if each["kind"] in ("case.verdict", "component")]
    assert any(each.get("software") == "spaces" for each in seen), done.stdout + done.stderr
    return {
        each["case"]: (each["verdict"], each["message"]) for each in seen if each.get("verdict")
    }


def expect(told: dict[str, tuple[str, str]], shown: tuple[str, ...]) -> None:
    """What is asked through the adapter is shown; what is of our own requests is skipped."""
    assert {case: told[case][0] for case in shown} == dict.fromkeys(shown, "pass"), told
    assert told[NATIVE][0] == "skip" and "native-api" in told[NATIVE][1], told


def test_a_compose_projects_gateway_is_asked_by_its_adapter(tmp_path: Path) -> None:
    lab.engine_for(*IMAGES)
    (tmp_path / "spaces.yaml").write_text(FRONT)
    text = (ROOT / "refstack" / "compose.target.toml").read_text()
    parts = [part for part in text.split("\n\n") if "rollout" not in part and "nginx" not in part]
    changed = {
        '"compose.yaml"': f'"{ROOT}/refstack/compose.yaml", "spaces.yaml"',
        'service = "rag-gateway"\nport = 8080': 'service = "spaces"\nport = 9000\n'
        f'adapter = "{EXAMPLE}/adapter.py"',
    }
    told = "\n\n".join(parts)
    for old, new in changed.items():
        assert old in told
        told = told.replace(old, new)
    target = tmp_path / "target.toml"
    target.write_text(told)
    expect(verdicts(tmp_path, target, LEAK, OWN, KILLED, NATIVE), (LEAK, OWN, KILLED))


@pytest.fixture
def spaces_image() -> Iterator[str]:
    """An image whose gateway speaks the other API."""
    client: Any = lab.engine_for(*IMAGES)
    pytest.importorskip("testcontainers", reason="the extra `containers` is not installed")
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        files = {"Dockerfile": DOCKERFILE, "server.py": (EXAMPLE / "server.py").read_bytes()}
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(body), 0o644
            archive.addfile(entry, io.BytesIO(body))
    context.seek(0)
    tag = f"ragdrill-test/spaces:{os.getpid()}"
    client.images.build(fileobj=context, custom_context=True, tag=tag, rm=True)
    yield tag
    client.images.remove(tag, force=True)


def test_an_images_gateway_is_asked_by_its_adapter(tmp_path: Path, spaces_image: str) -> None:
    target = tmp_path / "target.toml"
    target.write_text(
        '[target]\nname = "spaces"\ndriver = "containers"\n'
        f'[roles.gateway]\nadapter = "{EXAMPLE}/adapter.py"\n'
    )
    told = verdicts(tmp_path, target, LEAK, OWN, NATIVE, RAGDRILL_IMAGE_GATEWAY=spaces_image)
    expect(told, (LEAK, OWN))

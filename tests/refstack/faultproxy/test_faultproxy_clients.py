"""Clients written for the original, unchanged: toxiproxy-python and toxiproxy-node-client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from faultproxy_lab import Client, Control, Echo

NODE_CLIENT = "toxiproxy-node-client@4.1.0"
NODE_SCRIPT = """
const { Toxiproxy } = require("toxiproxy-node-client");
(async () => {
  const [url, upstream] = process.argv.slice(2);
  const server = new Toxiproxy(url);
  const body = { name: "node", listen: "127.0.0.1:0", upstream };
  const proxy = await server.createProxy(body);
  const latency = { type: "latency", stream: "downstream", toxicity: 1 };
  const toxic = await proxy.addToxic({ ...latency, name: "slow", attributes: { latency: 5 } });
  const changed = await toxic.update({ ...toxic.toJson(), attributes: { latency: 7, jitter: 1 } });
  const found = await (await server.get("node")).getToxic("slow");
  await found.remove();
  const gone = await proxy.getToxic("slow").catch((error) => String(error));
  const down = await proxy.update({ ...proxy.toJson(), enabled: false });
  await server.reset();
  const again = (await server.getAll())["node"];
  const second = (await server.populate([{ ...body, name: "node-2" }]))["node-2"];
  const twice = await server.createProxy(body).catch((error) => String(error));
  await second.remove();
  await proxy.remove();
  console.log(JSON.stringify({
    version: await server.getVersion(), created: proxy.toJson(), toxic: toxic.toJson(),
    changed: changed.toJson(), found: found.toJson(), gone, down: down.enabled,
    again: again.enabled, second: second.name, twice, left: Object.keys(await server.getAll()),
  }));
})().catch((error) => { console.error(error); process.exit(1); });
"""


@pytest.fixture
def clean(control: Control) -> Iterator[Control]:
    """A server without the proxies of this test."""
    yield control
    for name in ("python", "python-2", "node", "node-2"):
        control.call("DELETE", f"/proxies/{name}")


def test_the_python_client_drives_it(clean: Control, echo: Echo) -> None:
    """Create, inspect, toxics, down, populate, reset, destroy, and its three exceptions."""
    import toxiproxy
    from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

    server = toxiproxy.Toxiproxy()
    where = urlsplit(clean.url)
    server.update_api_consumer(where.hostname, where.port)
    assert server.running()
    assert b"version" in server.version()
    proxy = server.create(name="python", upstream=echo.address)
    assert Client(proxy.listen).echo() == b"ping"
    with pytest.raises(ProxyExists):
        server.create(name="python", upstream=echo.address)
    with pytest.raises(InvalidToxic):
        proxy.add_toxic(type="nonsense")
    proxy.add_toxic(type="latency", attributes={"latency": 80})
    toxic = proxy.get_toxic("latency_downstream")
    assert toxic.attributes == {"latency": 80, "jitter": 0}
    assert Client(proxy.listen).echo_s() >= 0.08
    proxy.destroy_toxic("latency_downstream")
    assert proxy.toxics() == {}
    with pytest.raises(NotFound):
        proxy.destroy_toxic("latency_downstream")
    with proxy.down(), pytest.raises(ConnectionRefusedError):
        Client(proxy.listen)
    assert Client(proxy.listen).echo() == b"ping"
    (second,) = server.populate([{"name": "python-2", "upstream": echo.address}])
    assert set(server.proxies()) >= {"python", "python-2"}
    assert server.reset()
    assert second.destroy()
    assert server.destroy(proxy)
    assert server.get_proxy("python") is None


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the Node client is installed, or a skip with what is missing."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not on PATH")
    home = tmp_path_factory.mktemp("node-client")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", NODE_CLIENT]
    try:
        done = subprocess.run(command, cwd=home, capture_output=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm install {NODE_CLIENT} took more than 20 s")
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        pytest.skip(f"npm install {NODE_CLIENT} failed: {lines[0]}")
    return home


def test_the_node_client_drives_it(clean: Control, echo: Echo, node_modules: Path) -> None:
    """Every call that it has."""
    script = node_modules / "drive.js"
    script.write_text(NODE_SCRIPT)
    command = ["node", str(script), clean.url, echo.address]
    environment = {**os.environ, "NO_PROXY": "*"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=20, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert "version" in seen["version"]
    assert seen["created"]["enabled"] is True
    assert seen["toxic"]["attributes"] == {"latency": 5, "jitter": 0}
    assert seen["changed"]["attributes"] == {"latency": 7, "jitter": 1}
    assert seen["found"] == seen["changed"]
    assert "404" in seen["gone"]
    assert (seen["down"], seen["again"]) == (False, True)
    assert seen["second"] == "node-2"
    assert "409" in seen["twice"]
    assert "node" not in seen["left"]

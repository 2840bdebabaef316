"""What the containers driver refuses and how it describes a container, with no engine at hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("testcontainers", reason="the extra `containers` is not installed")

import docker.errors

from harness.core.errors import NotAllowed, TargetError, UsageError
from harness.core.run import CHECKOUT, Run
from harness.core.target import TargetFile
from harness.drivers import control
from harness.drivers.base import Adapted, Restart, Stack
from harness.drivers.containers import labels, launch
from harness.drivers.containers import stack as stack_module
from harness.drivers.containers.bringup import PORT_NAMES, Options
from harness.drivers.containers.engine import EngineError, connect, machine
from harness.drivers.containers.fleet import Fleet
from harness.drivers.containers.recipes import PARTS, Cookbook, address_in
from harness.drivers.containers.stack import ContainerStack, LocalContainerStack
from harness.drivers.containers.state import ContainerState
from harness.drivers.embedded import http
from harness.drivers.embedded.ports import HOST
from harness.drivers.embedded.readiness import probe
from harness.drivers.embedded.services import new_secrets
from harness.drivers.embedded.stack import EmbeddedStack
from harness.drivers.embedded.state import Secrets
from harness.drivers.registry import driver


@pytest.fixture
def book(tmp_path: Path) -> Cookbook:
    """The recipes of a stack that nobody boots."""
    state = ContainerState(
        run_id="a-run",
        scratch=str(tmp_path),
        log_dir=str(tmp_path / "logs"),
        ports={name: 20000 + number for number, name in enumerate(PORT_NAMES)},
        time_scale=60,
        roles=[],
        source="local",
        labels={labels.RUN: "a-run"},
    )
    return Cookbook(state, Secrets(new_secrets()))


def test_without_an_engine_it_says_so_and_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(EngineError, match=r"(?s)No container engine answers.*engine\.sh"):
        connect()


def test_an_engine_elsewhere_is_refused() -> None:
    from harness.drivers.containers.engine import check_local

    far = SimpleNamespace(api=SimpleNamespace(base_url="http://10.0.0.1:2375"))
    with pytest.raises(EngineError, match="another machine"):
        check_local(far)
    check_local(SimpleNamespace(api=SimpleNamespace(base_url="http+docker://localhost")))


def test_unknown_images_are_refused() -> None:
    with pytest.raises(UsageError, match="official or local"):
        Options(source="nearby")
    with pytest.raises(UsageError, match="takes no settings"):
        Options(source="local", env={"metadata": {"fsync": "off"}})


def test_a_target_file_with_roles_is_not_for_it(tmp_path: Path) -> None:
    target = TargetFile.model_validate({"roles": {"gateway": {"url": "http://x"}}})
    run = Run("r", tmp_path, tmp_path / "s", "ci", "containers", "t", 1, 1.0)
    with pytest.raises(UsageError, match="RAGDRILL_IMAGE_"):
        driver("containers").for_run(run, target, print)


def test_a_target_file_may_give_the_gateways_adapter_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGDRILL_IMAGES", "local")
    monkeypatch.setattr(stack_module, "connect", lambda: None)
    monkeypatch.setattr(stack_module, "sees_processes", lambda client: False)
    adapter = str(CHECKOUT / "docs" / "examples" / "spaces" / "adapter.py")
    target = TargetFile.model_validate(
        {"target": {"driver": "containers"}, "roles": {"gateway": {"adapter": adapter}}}
    )
    run = Run("r", tmp_path, tmp_path / "s", "ci", "containers", "t", 1, 1.0)
    stack = driver("containers").for_run(run, target, print)
    assert isinstance(stack, Adapted) and stack.gateway_api.name == "spaces"
    with pytest.raises(NotAllowed, match="Which gateway answers"):
        stack.replace("gateway", {})


@pytest.mark.parametrize(
    ("source", "part", "path"),
    [
        ("official", "logs", "/ready"),
        ("local", "logs", "/readyz"),
        ("official", "embed", "/readyz"),
        ("official", "vectordb", "/readyz"),
        ("official", "metrics", "/-/ready"),
    ],
)
def test_a_part_is_asked_where_its_image_answers(
    book: Cookbook, monkeypatch: pytest.MonkeyPatch, source: str, part: str, path: str
) -> None:
    asked: list[str] = []

    def request(method: str, url: str, **_: object) -> http.Answer:
        asked.append(url)
        return http.Answer(200, b"", {})

    monkeypatch.setattr(http, "request", request)
    book.state.source = source
    fleet = Fleet(None, None, book.state, book.secrets)
    assert probe(fleet, part)() is None
    assert asked == [f"http://{HOST}:{book.state.ports[part]}{path}"]


def test_every_part_listens_for_this_host_alone(book: Cookbook) -> None:
    taken: list[int] = []
    for part in PARTS:
        recipe = book.recipe(part)
        assert recipe.published[recipe.image.port] == book.state.ports[part]
        taken += recipe.published.values()
    assert len(taken) == len(set(taken))


def test_inside_the_network_parts_go_through_the_fault_proxy(book: Cookbook) -> None:
    env = book.recipe("gateway-blue").env
    for name, value in env.items():
        if name.endswith(("_URL",)) and "FALLBACK" not in name:
            assert "faultproxy:" in value, name
            assert HOST not in value, name
    assert "@faultproxy:" in env["GATEWAY_DATABASE_URL"]


def test_each_run_has_volumes_of_its_own(book: Cookbook) -> None:
    named = [source for part in PARTS for source, _, _ in book.recipe(part).mounts]
    assert all("a-run" in each or each.startswith(book.state.scratch) for each in named)


def test_other_settings_make_another_container(book: Cookbook) -> None:
    before = book.recipe("rerank").digest
    assert book.recipe("rerank").digest == before
    book.secrets.overrides["rerank"] = {"RERANK_BATCH": "2"}
    assert book.recipe("rerank").digest != before


def test_a_gpu_is_asked_for_only_where_there_is_one(book: Cookbook) -> None:
    assert not any(book.recipe(part).gpu for part in PARTS)
    book.state.gpu = True
    assert {part for part in PARTS if book.recipe(part).gpu} == {"embed", "rerank", "gpu"}


def test_an_image_of_ones_own_takes_a_role(book: Cookbook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGDRILL_IMAGE_GATEWAY", "registry.example/gateway:1.4")
    mine = Cookbook(book.state, book.secrets)
    assert mine.recipe("gateway-green").image.reference == "registry.example/gateway:1.4"
    assert mine.recipe("embed").image.reference == book.recipe("embed").image.reference


def test_each_part_keeps_an_address_that_no_other_part_gets(book: Cookbook) -> None:
    """Else a request to one that was killed reaches the next one that is started."""
    assert not any(book.recipe(part).address for part in PARTS), "there is no network yet"
    book.state.subnet = "172.30.0.0/24"
    addresses = [book.recipe(part).address for part in PARTS]
    assert len(set(addresses)) == len(PARTS)
    assert "172.30.0.1" not in addresses, "it is the engine's own"
    again = Cookbook(book.state, book.secrets)
    assert addresses == [again.recipe(part).address for part in PARTS]


def test_a_network_that_is_too_small_is_refused() -> None:
    assert address_in("10.0.0.0/29", 4) == "10.0.0.6"
    with pytest.raises(ValueError, match="no address for 6 members"):
        address_in("10.0.0.0/29", 5)


@pytest.mark.parametrize("said", ["Pool overlaps with other one on this address space", "no room"])
def test_a_range_that_another_run_took_in_between_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    free, removed = ["172.18.0.0/16", "172.19.0.0/16"], []

    def network(name: str, given: object, addresses: object) -> SimpleNamespace:
        if addresses is None:
            offered = [{"Subnet": "fd00::/64"}, {"Subnet": free[0]}]
            return SimpleNamespace(
                attrs={"IPAM": {"Config": offered}}, remove=lambda: removed.append(free[0])
            )
        if len(free) == 2:
            free.pop(0)
            raise docker.errors.APIError(said)
        return SimpleNamespace()

    monkeypatch.setattr(launch, "_network", network)
    monkeypatch.setattr(launch, "_AGAIN_S", 0.0)
    if "overlaps" in said:
        assert launch.make_network("a-run", {}) == "172.19.0.0/16"
        assert removed == ["172.18.0.0/16", "172.19.0.0/16"]
    else:
        with pytest.raises(docker.errors.APIError, match="no room"):
            launch.make_network("a-run", {})


def test_no_secret_stands_in_an_argument(book: Cookbook) -> None:
    secrets = [value for name, value in book.secrets.values.items() if name != "auth_jwt_keys"]
    for part in PARTS:
        told = " ".join(book.recipe(part).command)
        assert not [value for value in secrets if value in told], part


def test_state_of_one_driver_is_not_taken_for_anothers(book: Cookbook, tmp_path: Path) -> None:
    book.state.save()
    path = tmp_path / "stack.json"
    assert control.driver_of(path) == "containers"
    with pytest.raises(TargetError, match="no booted stack"):
        EmbeddedStack.attach(path)
    state = json.loads(path.read_text())
    for name in ("driver", "labels", "source", "gpu", "subnet", "volumes", "adapter"):
        del state[name]
    path.write_text(json.dumps(state))
    assert control.driver_of(path) == "embedded"
    with pytest.raises(TargetError, match="no stack of containers"):
        ContainerStack.attach(path)


def test_what_is_not_seen_on_this_machine_is_not_offered() -> None:
    from harness.drivers.base import Kill, LogFiles, Pause, ProcessIds, Replace, Volume

    for everywhere in (Kill, Pause, Replace, Restart, LogFiles):
        assert _offers(ContainerStack, everywhere), everywhere
    for beside_the_engine in (ProcessIds, Volume):
        assert not _offers(ContainerStack, beside_the_engine)
        assert _offers(LocalContainerStack, beside_the_engine)
    assert Stack


def _offers(kind: type, capability: type) -> bool:
    wanted = [name for name in vars(capability) if not name.startswith("_")]
    return all(hasattr(kind, name) for name in wanted)


def test_what_is_left_to_another_process_lives_as_long_as_that() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        theirs = labels.of_run("a-run", other.pid)
        assert not labels.is_dead(theirs)
        assert theirs[labels.OWNER] != labels.of_run("a-run")[labels.OWNER]
        other.communicate()
    assert labels.is_dead(theirs)


def test_only_what_this_machine_surely_ended_is_dead() -> None:
    mine = labels.of_run("a-run")
    assert not labels.is_dead(mine)
    assert labels.is_dead({**mine, labels.OWNER: "999999999 1"})
    identity, boot, space = machine().split("/", 2)
    gone = {**mine, labels.OWNER: "999999999 1"}
    assert not labels.is_dead({**gone, labels.MACHINE: f"other/{boot}/{space}"})
    assert not labels.is_dead({**gone, labels.MACHINE: f"{identity}/{boot}/pid:[1]"})
    assert not labels.is_dead({})
    if identity:
        assert labels.is_dead({**mine, labels.MACHINE: f"{identity}/other-boot/{space}"})

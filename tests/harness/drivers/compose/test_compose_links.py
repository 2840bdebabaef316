"""Which links a Compose project has: found where services are told addresses."""

from __future__ import annotations

from typing import Any

from harness.drivers.compose.links import find

MAPPED = {
    "gateway-blue": {"service": "api", "port": 8080},
    "gateway-green": {"service": "api-green", "port": 8081},
    "edge": {"service": "proxy", "port": 80},
    "vectordb": {"service": "qdrant", "port": 6333},
    "metadata": {"service": "db", "port": 5432},
    "auth": {"service": "auth", "port": 8000},
    "embed": {"service": "embed", "port": 8080},
}


def project(**environments: dict[str, str]) -> dict[str, Any]:
    names = [str(each["service"]) for each in MAPPED.values()]
    return {
        "services": {
            name: {"environment": environments.get(name.replace("-", "_"), {})} for name in names
        }
    }


def names(config: dict[str, Any], keep: tuple[str, ...] = ()) -> set[str]:
    return {edge.name for edge in find(MAPPED, config, keep).edges}


OPERATED = {"operator-vectordb", "operator-metadata"}
ALWAYS = {"edge-blue", "edge-green"} | OPERATED


def test_an_address_in_a_url_is_a_link() -> None:
    found = find(MAPPED, project(api={"DB": "postgresql://u:p@db:5432/rag"}))
    assert found.settings == {"api": {"DB": "postgresql://u:p@{link:gateway-metadata}/rag"}}
    edge = next(edge for edge in found.edges if edge.name == "gateway-metadata")
    assert (edge.source, edge.target, edge.upstream) == ("gateway", "metadata", "db:5432")
    assert edge.scheme == "postgresql"


def test_an_address_alone_and_in_a_list_is_a_link() -> None:
    found = find(MAPPED, project(proxy={"UP": "api:8080", "ALL": "a=qdrant:6333,b=auth:8000"}))
    assert found.settings["proxy"]["UP"] == "{link:edge-blue}"
    assert found.settings["proxy"]["ALL"] == "a={link:edge-vectordb},b={link:edge-auth}"


def test_a_host_and_its_port_in_two_variables_are_a_link() -> None:
    config = project(
        api={"QDRANT_HOST": "qdrant", "QDRANT_PORT": "6333", "PGHOSTNAME": "db", "PGPORT": "5432"}
    )
    found = find(MAPPED, config)
    assert found.settings == {
        "api": {
            "QDRANT_HOST": "{linkhost:gateway-vectordb}",
            "QDRANT_PORT": "{linkport:gateway-vectordb}",
            "PGHOSTNAME": "{linkhost:gateway-metadata}",
            "PGPORT": "{linkport:gateway-metadata}",
        }
    }
    assert found.unled == ()


def test_a_url_may_leave_its_usual_port_away() -> None:
    config = project(
        api={
            "UP": "http://proxy/v1",
            "DB": "postgresql://u:p%40@db/rag",
            "VECTORS": "http://qdrant/",
            "PROXIES": "http://proxy-of-another:80",
        }
    )
    found = find(MAPPED, config)
    assert found.settings == {
        "api": {
            "UP": "http://{link:gateway-edge}/v1",
            "DB": "postgresql://u:p%40@{link:gateway-metadata}/rag",
        }
    }
    assert found.unled == ("api.VECTORS",)


def test_a_host_without_its_port_is_told_and_left() -> None:
    config = project(
        api={"DB_HOST": "db", "QDRANT_HOST": "qdrant", "QDRANT_PORT": "6334", "HOST": "api"}
    )
    found = find(MAPPED, config)
    assert found.settings == {} and {edge.name for edge in found.edges} == ALWAYS
    assert found.unled == ("api.DB_HOST", "api.QDRANT_HOST")


def test_both_gateways_use_the_same_links() -> None:
    config = project(api={"V": "http://qdrant:6333"}, api_green={"V": "http://qdrant:6333"})
    assert names(config) == ALWAYS | {"gateway-vectordb"}


def test_another_port_host_or_word_is_no_link() -> None:
    config = project(
        api={
            "GRPC": "http://qdrant:6334",
            "LONGER": "http://qdrant:63331",
            "OTHER": "http://my-qdrant:6333",
            "DOMAIN": "http://qdrant.example:6333",
            "BARE": "qdrant",
        }
    )
    assert names(config) == ALWAYS


def test_the_issuer_of_tokens_is_no_address() -> None:
    config = project(api={"JWT_ISSUER": "http://auth:8000", "AUTH_URL": "http://auth:8000"})
    found = find(MAPPED, config)
    assert found.settings == {"api": {"AUTH_URL": "http://{link:gateway-auth}"}}


def test_what_is_to_be_kept_is_left_as_it_is() -> None:
    config = project(
        api={"A": "http://qdrant:6333", "B": "http://auth:8000"}, embed={"C": "http://auth:8000"}
    )
    assert names(config, ("api.A", "embed")) == ALWAYS | {"gateway-auth"}


def test_a_service_that_names_itself_has_no_link_to_itself() -> None:
    assert names(project(auth={"OWN": "http://auth:8000"})) == ALWAYS


def test_a_variable_without_a_value_is_looked_over() -> None:
    config = project()
    config["services"]["api"]["environment"] = {"EMPTY": None}
    assert names(config) == ALWAYS

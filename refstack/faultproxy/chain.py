"""The toxics of one proxy: what is configured, in which order, on which stream."""

from __future__ import annotations

import enum
from typing import Any

from refstack.faultproxy.body import Fields, float32, plain
from refstack.faultproxy.errors import (
    bad_body,
    invalid_stream,
    invalid_toxic_type,
    toxic_exists,
    toxic_not_found,
)
from refstack.faultproxy.toxics import read_settings, show_settings, stage_type
from refstack.faultproxy.toxics.base import Stage


class Direction(enum.Enum):
    """Which way data flows: from the client to the upstream, or back."""

    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"


class Toxic:
    """One configured toxic. `toxicity` is the probability that a link is affected."""

    def __init__(
        self, name: str, stage: type[Stage], stream: str, toxicity: float, settings: Any
    ) -> None:
        self.name = name
        self.stage_type = stage
        self.stream = stream
        self.direction = Direction(stream.lower())
        self.toxicity = toxicity
        self.settings = settings

    def show(self) -> dict[str, Any]:
        """The toxic as the API shows it."""
        return {
            "attributes": show_settings(self.settings),
            "name": self.name,
            "type": self.stage_type.type_name,
            "stream": self.stream,
            "toxicity": plain(self.toxicity),
        }


class Chain:
    """The toxics of a proxy, per direction in the order they were added."""

    def __init__(self) -> None:
        self._toxics: dict[Direction, list[Toxic]] = {direction: [] for direction in Direction}

    def towards(self, direction: Direction) -> list[Toxic]:
        """The toxics of one direction, first to last."""
        return self._toxics[direction]

    def all(self) -> list[Toxic]:
        """Every toxic, upstream first."""
        return [toxic for direction in Direction for toxic in self._toxics[direction]]

    def get(self, name: str) -> Toxic:
        """The toxic of that name; raises `ApiError` 404."""
        for toxic in self.all():
            if toxic.name == name:
                return toxic
        raise toxic_not_found()

    def create(self, body: Any) -> Toxic:
        """Check a request for a toxic, in Toxiproxy's order, and append what it asks for."""
        members = Fields(body, "a toxic")
        name, type_name = members.text("name"), members.text("type")
        stream = members.text("stream", "downstream")
        toxicity = float32(members.number("toxicity", 1.0))
        attributes = Fields(members.raw("attributes"), "attributes")
        if stream.lower() not in {direction.value for direction in Direction}:
            raise invalid_stream()
        stage = stage_type(type_name)
        if stage is None:
            raise invalid_toxic_type()
        if stage.only_stream not in (None, stream.lower()):
            raise bad_body(f"{type_name} works on the stream {stage.only_stream} only")
        name = name or f"{type_name}_{stream}"
        if any(toxic.name == name for toxic in self.all()):
            raise toxic_exists()
        settings = read_settings(stage.settings_type, {}, attributes)
        toxic = Toxic(name, stage, stream, toxicity, settings)
        self._toxics[toxic.direction].append(toxic)
        return toxic

    def update(self, name: str, body: Any) -> Toxic:
        """Merge attributes and toxicity into a toxic; its other members stay."""
        toxic = self.get(name)
        members = Fields(body, "a toxic")
        toxicity = float32(members.number("toxicity", toxic.toxicity))
        attributes = Fields(members.raw("attributes"), "attributes")
        current = toxic.settings
        toxic.settings = read_settings(type(current), vars(current), attributes)
        toxic.toxicity = toxicity
        return toxic

    def remove(self, toxic: Toxic) -> None:
        """Take a toxic off the proxy."""
        self._toxics[toxic.direction].remove(toxic)

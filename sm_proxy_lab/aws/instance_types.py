"""Moto's instance types, read when a call first asks for them.

Moto reads what each type has, and where it is offered, while it is imported. That takes 0.2 s, and
few labs are ever asked for it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

_TYPES = "ec2/resources/instance_types.json"
_OFFERINGS = "ec2/resources/instance_type_offerings"


class _Regions(dict[str, list[dict[str, str]]]):
    """What each region offers, by the kind of location that the offers name."""

    def __init__(self, location: str) -> None:
        super().__init__()
        self._location = location

    def __missing__(self, region: str) -> list[dict[str, str]]:
        from moto.utilities.utils import load_resource  # noqa: PLC0415

        path = f"{_OFFERINGS}/{self._location}/{region}.json"
        found: list[dict[str, str]] = load_resource(path)
        self[region] = [{**offer, "LocationType": self._location} for offer in found]
        return self[region]

    def get(self, region: str, default: Any = None) -> Any:
        """The offers of a region; `default` if moto does not know it."""
        try:
            return self[region]
        except FileNotFoundError:
            return default


@contextmanager
def read_when_asked() -> Iterator[None]:
    """Import moto's EC2 inside this block."""
    from moto.utilities import utils  # noqa: PLC0415

    load = utils.load_resource

    def load_others(resource: str) -> Any:
        if PurePath(resource).is_relative_to(_OFFERINGS):
            return []
        return {} if resource == _TYPES else load(resource)

    utils.load_resource = load_others
    try:
        yield
    finally:
        utils.load_resource = load
    from moto.ec2.models import instance_types  # noqa: PLC0415

    offerings = instance_types.INSTANCE_TYPE_OFFERINGS
    offerings.update({location: _Regions(location) for location in offerings})
    backend: Any = instance_types.InstanceTypeBackend
    backend.instance_types = property(lambda _: _types())


def known() -> dict[str, Any]:
    """What moto knows of each instance type, by its name."""
    from moto.ec2.models.instance_types import INSTANCE_TYPES  # noqa: PLC0415
    from moto.utilities.utils import load_resource  # noqa: PLC0415

    if not INSTANCE_TYPES:
        INSTANCE_TYPES.update(load_resource(_TYPES))
    return INSTANCE_TYPES


@functools.cache
def _types() -> list[Any]:
    from moto.ec2.models.instance_types import InstanceType  # noqa: PLC0415

    return [InstanceType(name) for name in known()]

"""botocore's models of the AWS services: the lab validates requests against them."""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from botocore.loaders import JSONFileLoader, Loader
from botocore.model import ServiceModel

if TYPE_CHECKING:
    from collections.abc import Iterator


@lru_cache
def of_service(service: str) -> ServiceModel:
    """Return botocore's model of `service`.

    Raises:
        botocore.exceptions.UnknownServiceError: botocore has no service of that name.
    """
    return ServiceModel(Loader().load_service_model(service, "service-2"))


@contextmanager
def read_once() -> Iterator[None]:
    """While the block runs, all loaders share what one of them has read.

    Each botocore session has its own loader, and moto makes several sessions while it is imported.
    Each of them would parse EC2's model of 9 MB and list 450 service folders again.
    """
    load_file, list_services = JSONFileLoader.load_file, Loader.list_available_services
    files: dict[str, Any] = {}
    listings: dict[tuple[str, ...], list[str]] = {}

    def load_file_once(self: JSONFileLoader, file_path: str) -> Any:
        if file_path not in files:
            files[file_path] = load_file(self, file_path)
        return files[file_path]

    def list_services_once(self: Loader, type_name: str) -> list[str]:
        key = (type_name, *self.search_paths)
        if key not in listings:
            listings[key] = list_services(self, type_name)
        return listings[key]

    JSONFileLoader.load_file = load_file_once  # type: ignore[method-assign]
    Loader.list_available_services = list_services_once  # type: ignore[method-assign]
    try:
        yield
    finally:
        JSONFileLoader.load_file = load_file  # type: ignore[method-assign]
        Loader.list_available_services = list_services  # type: ignore[method-assign]

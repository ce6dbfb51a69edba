"""Names of images, as docker reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sm_proxy_lab.image_build.errors import DockerError

_DOCKER_HUB: Final = "docker.io"
_PUBLIC: Final = frozenset(
    (
        *("docker.io", "registry-1.docker.io", "public.ecr.aws", "quay.io", "ghcr.io", "gcr.io"),
        *("mcr.microsoft.com", "nvcr.io", "registry.k8s.io"),
    )
)
_ECR: Final = re.compile(r"(\d{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_NAME: Final = re.compile(
    r"(?:(?P<host>[^/]*[.:][^/]*|localhost)/)?(?P<path>[a-z0-9._/-]+)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class ImageName:
    """The name of an image.

    Attributes:
        host: the registry.
        path: the repository in it.
        tag: the tag; empty if a digest alone names the image.
        digest: `sha256:...`; empty without one.
    """

    host: str
    path: str
    tag: str
    digest: str

    def __str__(self) -> str:
        """The whole name."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.path}{tag}{digest}"

    @property
    def repository(self) -> str:
        """The name without tag and digest."""
        return f"{self.host}/{self.path}"

    @property
    def is_public(self) -> bool:
        """Whether its registry lets everybody read."""
        return self.host in _PUBLIC

    @property
    def ecr(self) -> tuple[str, str] | None:
        """Account and region of a registry in ECR; None for another registry."""
        found = _ECR.fullmatch(self.host)
        return (found[1], found[2]) if found else None


def parse(text: str) -> ImageName:
    """Read a name.

    Raises:
        DockerError: it is not a valid name.
    """
    found = _NAME.fullmatch(text)
    if found is None:
        reason = "repository name must be lowercase" if text != text.lower() else "invalid format"
        raise DockerError(f'invalid reference format: "{text}": {reason}')
    host, path = found["host"] or _DOCKER_HUB, found["path"]
    if host == _DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    digest = found["digest"] or ""
    return ImageName(host, path, found["tag"] or ("" if digest else "latest"), digest)

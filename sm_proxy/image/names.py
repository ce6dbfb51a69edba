"""Names of images: repositories in ECR, tags, registries."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sm_proxy.errors import SmProxyError, printable

_REGISTRY: Final = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z]{2,4}(?:-[a-z]+)+-\d+)\."
    r"(?:amazonaws\.(?:com(?:\.cn)?|eu)|on\.aws|on\.amazonwebservices\.(?:com\.cn|eu)"
    r"|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)",
    re.ASCII,
)
"""Private registries of ECR, in all partitions. `public.ecr.aws` needs no login.

Only AWS's own domains (botocore's `partitions.json`): a login elsewhere would give the password of
the build's role to whoever a Dockerfile names.
"""
_NAME: Final = re.compile(r"(?=.{2,256}$)[a-z0-9]+(?:(?:\.|_{1,2}|-+|/)[a-z0-9]+)*")
"""Of a repository: the pattern of `repositoryName` in ECR's API."""
_TAG: Final = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
"""Of an image: Docker's reference grammar."""
_EXAMPLE: Final = "Write NAME:TAG, such as my-training:1."


@dataclass(frozen=True)
class Registry:
    """A private registry of ECR.

    Attributes:
        host: its host name, such as `111122223333.dkr.ecr.eu-west-1.amazonaws.com`.
        account: that owns it.
        region: it is in.
    """

    host: str
    account: str
    region: str


@dataclass(frozen=True)
class Repository:
    """Where to push an image.

    Attributes:
        name: of the repository.
        tag: of the image.
        registry: if the user named it.
    """

    name: str
    tag: str
    registry: Registry | None = None


def registry_of(image: str) -> Registry | None:
    """The registry of an image in ECR; None for an image anywhere else."""
    host, slash, _ = image.partition("/")
    found = _REGISTRY.fullmatch(host) if slash else None
    return Registry(host, found["account"], found["region"]) if found else None


def registries(repository: str, images: Iterable[str]) -> list[Registry]:
    """The registries in ECR of a repository and of images, each once."""
    found = (registry_of(image) for image in (repository, *images))
    return list(dict.fromkeys(filter(None, found)))


def parse(text: str) -> Repository:
    """A repository and a tag on the command line: `NAME:TAG` or `REGISTRY/NAME:TAG`.

    Raises:
        SmProxyError: `usage`.
    """
    registry = registry_of(text)
    rest = text.partition("/")[2] if registry else text
    name, colon, tag = rest.partition(":")
    if "@" in text:
        raise _wrong(text, "names a digest, which only a finished image has")
    if not colon or not tag:
        raise _wrong(text, "has no tag")
    if registry is None and "." in name.partition("/")[0] and "/" in name:
        raise _wrong(
            text,
            "may be in another registry than Amazon ECR, where images of jobs are",
            "Write NAME:TAG, or ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG.",
        )
    if not _NAME.fullmatch(name):
        why = (
            "is not a repository's name: 2 to 256 lower case letters, digits, and single . _ - /"
            " between them"
        )
        raise _wrong(text, why)
    if not _TAG.fullmatch(tag):
        raise _wrong(text, "has a tag that Docker does not take")
    return Repository(name, tag, registry)


def _wrong(text: str, why: str, hint: str = _EXAMPLE) -> SmProxyError:
    return SmProxyError("usage", f"--repository {printable(text, 100)} {why}", hint)

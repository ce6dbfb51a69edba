"""Read the command of a container image from its registry (ECR), without pulling it.

BatchGetImage gives the manifest, GetDownloadUrlForLayer an address from which the image's
configuration is downloaded. No authorization token is needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.launch import download, program
from sm_proxy.launch.caller import Caller

_URI: Final = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\."
    r"(?:amazonaws\.com(?:\.cn)?|on\.(?:aws|amazonwebservices\.com\.cn))"
    r"/(?P<name>[^:@\s]{2,256})(?::(?P<tag>[^:@/\s]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_DEPTH: Final = 3
"""An index may name another index, but not without end."""
_CONFIG_LIMIT: Final = 8 << 20
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
"""The registry's names of architectures, by the kernel's."""
_SSHD: Final = re.compile(r"\bopenssh(?:-server)?(?![\w-])|\bdropbear(?:-bin)?(?![\w-])")
_PYTHON: Final = re.compile(
    r"\b(?:python(?:[\d.]*|_version)|pip[\d.]*|conda|(?:micro)?mamba|poetry|uv)\b|\.py\b"
)
_DISTROLESS: Final = re.compile(r"\bbazel build\b|\bdistroless\b")
"""What layers of distroless images name: Bazel makes them, and they have no shell."""
_SHELL: Final = re.compile(r"\b(?:ba|da|a)?sh\b|\bbusybox\b|^(?:\|\d+ .*)?RUN\b", re.MULTILINE)
_OPTION: Final = "--entrypoint 'PROGRAM ARGUMENT...'"
_REMOVES: Final = re.compile(r"\b(?:remove|purge|del|erase|uninstall)\b[^;&|\n]*")


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image in ECR, by its configuration.

    Attributes:
        uri: as the request names it.
        architecture: `x86_64` or `aarch64`; else the registry's word.
        entrypoint: its ENTRYPOINT; empty if it has none.
        command: its CMD; empty if it has none.
        has_sshd: its history installs an SSH server. False does not mean that it has none.
        has_python: it names a Python somewhere. False does not mean that it has none.
        is_distroless: it builds on an image without a shell, and nothing in it names one.
    """

    uri: str
    architecture: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    has_sshd: bool
    has_python: bool
    is_distroless: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether its ENTRYPOINT is our own script, so that it is ready for ssh."""
        return program.our_words(self.entrypoint) > 0


@dataclass(frozen=True)
class Address:
    """Where an image is.

    Attributes:
        account: that owns the registry.
        region: of the registry.
        name: the repository.
        by: `imageDigest` or `imageTag` and its value, as ECR takes it.
    """

    account: str
    region: str
    name: str
    by: Mapping[str, str]

    @property
    def repository(self) -> dict[str, str]:
        """The repository, as ECR's operations take it."""
        return {"registryId": self.account, "repositoryName": self.name}


def parse(uri: str) -> Address | None:
    """The address of an image in ECR; None for an image anywhere else."""
    found = _URI.fullmatch(uri.strip())
    if found is None:
        return None
    digest = found["digest"]
    by = {"imageDigest": digest} if digest else {"imageTag": found["tag"] or "latest"}
    return Address(found["account"], found["region"], found["name"], by)


def read(aws: Caller, uri: str, architecture: str = "x86_64") -> Image:
    """Read an image's configuration from ECR.

    Args:
        aws: for the calls; the image may be in another region than its own.
        uri: `ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME[:TAG][@sha256:...]`.
        architecture: the machine of the job's instances, to choose from an image index.

    Raises:
        SmProxyError: `image-unreadable`, and the hint names `--entrypoint`; or the credentials or
            the network do not work.
    """
    address = parse(uri)
    if address is None:
        raise _unreadable(uri, "it is not in Amazon ECR")
    try:
        registry = aws if address.region == aws.region else aws.in_region(address.region)
        manifest = _manifest(registry, address, architecture)
        return _parsed(uri, _config(registry, address, manifest))
    except ServiceError as error:
        raise _unreadable(uri, str(error)) from None
    except SmProxyError as error:
        if error.code != "access-denied":
            raise
        raise _unreadable(
            uri, error.message, f"{error.hint} Or name its command: {_OPTION}."
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _unreadable(
            uri, f"its registry describes the image in an unknown form ({error})"
        ) from None


def _manifest(aws: Caller, address: Address, architecture: str) -> dict[str, Any]:
    """The manifest of the image for one architecture."""
    by = address.by
    for _ in range(_DEPTH):
        answer = aws.call(
            "ecr",
            "BatchGetImage",
            **address.repository,
            imageIds=[dict(by)],
            acceptedMediaTypes=[*_MANIFESTS, *_INDEXES],
        )
        if not answer.get("images"):
            failure = (answer.get("failures") or [{}])[0]
            raise ValueError(failure.get("failureReason") or failure.get("failureCode") or "none")
        manifest: dict[str, Any] = json.loads(answer["images"][0]["imageManifest"])
        if "manifests" not in manifest:
            return manifest
        by = {"imageDigest": _choose(manifest["manifests"], architecture)}
    raise ValueError("its index names another index")


def _choose(manifests: list[dict[str, Any]], architecture: str) -> str:
    wanted = _MACHINES.get(architecture, architecture)
    for item in manifests:
        platform = item.get("platform", {})
        if platform.get("os") == "linux" and platform.get("architecture") == wanted:
            return str(item["digest"])
    raise ValueError(f"it has nothing for linux/{wanted}")


def _config(aws: Caller, address: Address, manifest: dict[str, Any]) -> dict[str, Any]:
    if "config" not in manifest:
        raise ValueError("its manifest is of an old form")
    digest = str(manifest["config"]["digest"])
    answer = aws.call("ecr", "GetDownloadUrlForLayer", **address.repository, layerDigest=digest)
    content = download.fetch(aws, answer["downloadUrl"], limit=_CONFIG_LIMIT, digest=digest)
    document: dict[str, Any] = json.loads(content)
    return document


def _parsed(uri: str, document: dict[str, Any]) -> Image:
    config = document.get("config") or {}
    environment = dict(
        item.partition("=")[::2] for item in config.get("Env") or [] if isinstance(item, str)
    )
    entrypoint, command = _words(config.get("Entrypoint")), _words(config.get("Cmd"))
    history = [str(item.get("created_by", "")) for item in document.get("history") or []]
    text = _REMOVES.sub("", "\n".join(history))
    everything = "\n".join((text, *entrypoint, *command, *environment, *environment.values()))
    everything.encode()  # refuses half a character, which no request can hold
    machine = str(document.get("architecture", ""))
    return Image(
        uri=uri,
        architecture={name: ours for ours, name in _MACHINES.items()}.get(machine, machine),
        entrypoint=entrypoint,
        command=command,
        has_sshd=bool(_SSHD.search(text)),
        has_python=bool(_PYTHON.search(everything.lower())),
        is_distroless=bool(_DISTROLESS.search(text)) and not _SHELL.search(everything),
    )


def _words(value: Any) -> tuple[str, ...]:
    """A command. Docker reads a text as a command of one word."""
    return (value,) if isinstance(value, str) else tuple(map(str, value or ()))


def _unreadable(uri: str, why: str, hint: str = "") -> SmProxyError:
    what = f"the image {uri} cannot be read, so its entry point is unknown: {why}"
    return SmProxyError(
        "image-unreadable", what, hint or f"Name the command that it runs: {_OPTION}."
    )

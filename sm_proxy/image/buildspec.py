"""What CodeBuild runs: log in to registries, `docker build`, `docker push`.

CodeBuild prints each command before it runs it, as written here. What the user typed reaches the
shell in environment variables only, within double quotes: it is neither run nor printed.

The source is a zip (`archive.py`) of the Dockerfile, the patterns of files to leave out, and the
build context as a tar. CodeBuild unpacks the zip itself, and whether that keeps symbolic links and
modes is not documented; `tar` keeps both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sm_proxy.image.names import Registry

DIGEST: Final = "SM_PROXY_DIGEST"
"""The exported variable with the digest of the image that was pushed."""
_BUILDKIT: Final = {
    "DOCKER_BUILDKIT": "1",  # Docker before 23 needs it for the Dockerfile.dockerignore
    "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",  # they would make an index of a single image
}
_UNPACK: Final = "mkdir context && tar -xf context.tar -C context"
_LOGIN: Final = (
    "aws ecr get-login-password --region {region}"
    " | docker login --username AWS --password-stdin {host}"
)
_BUILD: Final = 'docker build --pull --file Dockerfile --tag "$SM_PROXY_IMAGE"'
_PUSH: Final = 'if [ "$CODEBUILD_BUILD_SUCCEEDING" = 1 ]; then docker push "$SM_PROXY_IMAGE"; fi'
_FIND_DIGEST: Final = (
    'if [ "$CODEBUILD_BUILD_SUCCEEDING" = 1 ]; then '
    f"export {DIGEST}=$(docker image inspect"
    " --format '{{range .RepoDigests}}{{println .}}{{end}}' \"$SM_PROXY_IMAGE\""
    ' | sed -n "s|^$SM_PROXY_REPOSITORY@||p" | head -n 1); fi'
)


@dataclass(frozen=True)
class Order:
    """One image to build.

    Attributes:
        repository: where it is pushed, `REGISTRY/NAME`.
        tag: the tag it gets there.
        registries: in ECR, to log in to: the repository's, and those of base images.
        target: the stage to build; empty for the last.
        arguments: for the Dockerfile's ARG instructions. They may be secrets.
    """

    repository: str
    tag: str
    registries: Sequence[Registry]
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def image(self) -> str:
        """What is pushed: `REGISTRY/NAME:TAG`."""
        return f"{self.repository}:{self.tag}"


def variables(order: Order) -> dict[str, str]:
    """The environment variables that `render` needs, by name."""
    found = {"SM_PROXY_REPOSITORY": order.repository, "SM_PROXY_IMAGE": order.image}
    if order.target:
        found["SM_PROXY_TARGET"] = order.target
    pairs = enumerate(order.arguments.items(), start=1)
    return found | {_argument(number): f"{name}={value}" for number, (name, value) in pairs}


def render(order: Order) -> str:
    """The buildspec, as JSON: YAML is a superset of it."""
    return json.dumps(_document(order), indent=2)


def _document(order: Order) -> dict[str, Any]:
    logins = [_LOGIN.format(region=item.region, host=item.host) for item in order.registries]
    return {
        "version": "0.2",
        "env": {"variables": _BUILDKIT, "exported-variables": [DIGEST]},
        "phases": {
            "pre_build": {"commands": [_UNPACK, *logins]},
            "build": {"commands": [_build_command(order)]},
            # It runs after a failed build, too.
            "post_build": {"commands": [_PUSH, _FIND_DIGEST]},
        },
    }


def _build_command(order: Order) -> str:
    words = [_BUILD]
    if order.target:
        words.append('--target "$SM_PROXY_TARGET"')
    words += [f'--build-arg "${_argument(n + 1)}"' for n in range(len(order.arguments))]
    return " ".join([*words, "context"])


def _argument(number: int) -> str:
    return f"SM_PROXY_BUILD_ARG_{number}"

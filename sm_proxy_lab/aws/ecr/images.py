"""The manifests and the config of an image, as `docker push` and `buildx` write them."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

DOCKER: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
FORMS: Final = {
    "docker": (DOCKER, DOCKER_LIST, "application/vnd.docker.container.image.v1+json"),
    "oci": (OCI, OCI_INDEX, "application/vnd.oci.image.config.v1+json"),
}
"""Form -> media types of manifest, index and config."""
LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_LAYER_SIZE: Final = 32_654
_URI = re.compile(
    r"(?P<registry>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/"
    r"(?P<repository>[^:@]+)(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class Name:
    """Where an image is: account, region, repository, and its tag or digest."""

    registry: str
    region: str
    repository: str
    reference: str


@dataclass(frozen=True)
class Blob:
    """A manifest or a config: its media type and its bytes."""

    media_type: str
    content: bytes

    @property
    def digest(self) -> str:
        """The digest by which others name it."""
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"


@dataclass(frozen=True)
class Pushed:
    """An image as it was pushed; the time in seconds of the epoch.

    Attributes:
        top: the manifest that the tag names: of one image, or an index of several.
        children: the manifests in the index; empty without one.
        configs: the configs of all manifests.
        layers: the content of the layers, the lowest first; empty if only the manifest knows them.
    """

    top: Blob
    children: tuple[Blob, ...] = ()
    configs: tuple[Blob, ...] = ()
    layers: tuple[Blob, ...] = ()
    at: float = field(default_factory=time.time)

    @property
    def size(self) -> int:
        """Of the layers, in bytes; of an index that of one image."""
        manifest = json.loads((self.children[-1] if self.children else self.top).content)
        return sum(int(layer["size"]) for layer in manifest.get("layers", ()))


def host(registry: str, region: str) -> str:
    """The registry's host name."""
    return f"{registry}.dkr.ecr.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def parse(uri: str) -> Name | None:
    """Read the URI of an image in ECR; None for any other text."""
    found = _URI.fullmatch(uri)
    if not found:
        return None
    reference = found["digest"] or found["tag"] or "latest"
    return Name(found["registry"], found["region"], found["repository"], reference)


def push(
    config: dict[str, Any],
    *,
    history: Sequence[str] = (),
    architecture: str = "amd64",
    form: str = "docker",
    index: bool = False,
    at: float | None = None,
) -> Pushed:
    """Make the manifests of an image.

    Args:
        config: the image's settings: Entrypoint, Cmd, Env, User, WorkingDir, Labels, ...
        history: the commands of the Dockerfile.
        architecture: `amd64` or `arm64`.
        form: `docker` or `oci`.
        index: let the tag name an index. It also has an image of the other architecture, with
            another entry point, and what `buildx` adds: an attestation for no platform.
        at: when it was pushed; now if None.
    """
    manifest_type, index_type, _ = FORMS[form]
    when = time.time() if at is None else at
    image = _image(config, history, architecture, form)
    if not index:
        return Pushed(image[0], configs=(image[1],), at=when)
    other = "arm64" if architecture == "amd64" else "amd64"
    images = {
        other: _image({"Entrypoint": [f"/only-on-{other}"]}, (), other, form),
        architecture: image,
        "unknown": _image({}, (), "unknown", form),
    }
    entries = [
        {
            "mediaType": manifest_type,
            "digest": manifest.digest,
            "size": len(manifest.content),
            "platform": {"architecture": name, "os": "unknown" if name == "unknown" else "linux"},
        }
        for name, (manifest, _) in images.items()
    ]
    listed = {"schemaVersion": 2, "mediaType": index_type, "manifests": entries}
    return Pushed(
        _blob(index_type, listed),
        tuple(manifest for manifest, _ in images.values()),
        tuple(blob for _, blob in images.values()),
        at=when,
    )


def _image(
    config: dict[str, Any], history: Sequence[str], architecture: str, form: str
) -> tuple[Blob, Blob]:
    """The manifest and the config of one image."""
    manifest_type, _, config_type = FORMS[form]
    layer = hashlib.sha256(f"{architecture}{history}".encode()).hexdigest()
    document = {
        "architecture": architecture,
        "os": "unknown" if architecture == "unknown" else "linux",
        "config": config,
        "history": [{"created_by": line} for line in history],
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
    }
    blob = _blob(config_type, document)
    manifest = {
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": {
            "mediaType": config_type,
            "size": len(blob.content),
            "digest": blob.digest,
        },
        "layers": [{"mediaType": LAYER, "size": _LAYER_SIZE, "digest": f"sha256:{layer}"}],
    }
    return _blob(manifest_type, manifest), blob


def _blob(media_type: str, document: dict[str, Any]) -> Blob:
    return Blob(media_type, json.dumps(document, indent=3).encode())

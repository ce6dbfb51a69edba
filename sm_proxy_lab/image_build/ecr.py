"""The registry: ECR's API of the lab, called with the credentials of the build's role."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy_lab.image_build.daemon import Daemon, Image
from sm_proxy_lab.image_build.errors import DockerError
from sm_proxy_lab.image_build.layers import root_layer, root_of
from sm_proxy_lab.image_build.names import ImageName

_TIMEOUT_S: Final = 60.0
_TARGET: Final = "AmazonEC2ContainerRegistry_V20150921"
_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
_OCI: Final = "application/vnd.oci.image.manifest.v1+json"
_OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_LABEL_ROOT: Final = "sm-proxy-lab.root"
_HERE: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class CallError(Exception):
    """An AWS service refused a call: its code, its message, the HTTP status."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def call(endpoint: str, service: str, region: str, target: str, params: dict[str, Any]) -> Any:
    """Call a JSON service of the lab.

    Raises:
        CallError: it refused.
    """
    kind = "application/x-amz-json-1.1"
    headers = {"Content-Type": kind, "X-Amz-Target": target, **_signature(service, region)}
    return json.loads(_send(endpoint, headers, json.dumps(params).encode()) or b"{}")


def query(endpoint: str, service: str, region: str, form: bytes) -> bytes:
    """Call a service with a query API; return its XML.

    Raises:
        CallError: it refused.
    """
    headers = {"Content-Type": "application/x-www-form-urlencoded", **_signature(service, region)}
    return _send(endpoint, headers, form)


def _signature(service: str, region: str) -> dict[str, str]:
    """Headers that identify the caller. The lab checks no signatures of these services."""
    key = os.environ.get("AWS_ACCESS_KEY_ID", "none")
    scope = f"{key}/{time.strftime('%Y%m%d', time.gmtime())}/{region}/{service}/aws4_request"
    return {
        "X-Amz-Security-Token": os.environ.get("AWS_SESSION_TOKEN", ""),
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}",
    }


def _send(url: str, headers: dict[str, str], body: bytes | None = None) -> bytes:
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - the lab's own endpoint
    try:
        with _HERE.open(request, timeout=_TIMEOUT_S) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            text = error.read()
        try:
            told = json.loads(text)
        except ValueError:
            told = {}
        message = told.get("message") or told.get("Message") or text.decode(errors="replace")
        code = str(told.get("__type", "")).rpartition("#")[2]
        raise CallError(code, message, error.code) from None


def try_login(endpoint: str, user: str, password: str) -> int:
    """The status with which the registry answers a password."""
    word = base64.b64encode(f"{user}:{password}".encode()).decode()
    try:
        _send(f"{endpoint}/v2/", {"Authorization": f"Basic {word}"})
    except CallError as error:
        return error.status
    return 200


@dataclass(frozen=True)
class Registry:
    """One registry in ECR, and a repository in it."""

    daemon: Daemon
    name: ImageName
    account: str
    region: str

    @classmethod
    def of(cls, daemon: Daemon, name: ImageName) -> Registry:
        """The registry of an image; it must be one in ECR.

        Raises:
            DockerError: it is another.
        """
        where = name.ecr
        if where is None:
            raise DockerError(f"the lab has no registry {name.host}")
        return cls(daemon, name, *where)

    def _call(self, operation: str, **params: Any) -> Any:
        where = {"registryId": self.account, "repositoryName": self.name.path}
        target = f"{_TARGET}.{operation}"
        return call(self.daemon.endpoint, "ecr", self.region, target, where | params)

    def pull(self) -> Image | None:
        """Read the image; None if there is none of that tag or digest.

        Raises:
            CallError: ECR refused.
        """
        name = self.name
        wanted = {"imageDigest": name.digest} if name.digest else {"imageTag": name.tag}
        found = self._manifest(wanted)
        if found is None:
            return None
        digest, manifest = found
        for entry in manifest.get("manifests", ()):
            if entry["platform"] == {"architecture": "amd64", "os": "linux"}:
                other = self._manifest({"imageDigest": entry["digest"]})
                manifest = other[1] if other else manifest
        document = json.loads(self._blob(manifest["config"]["digest"]))
        config = document.get("config") or {}
        image = Image(
            config,
            str((config.get("Labels") or {}).get(_LABEL_ROOT, "debian")),
            history=[each.get("created_by", "") for each in document.get("history", ())],
            digests={name.repository: digest},
        )
        for number, layer in enumerate(manifest["layers"]):
            if self.daemon.store.files(layer["digest"]):
                image.layers.append(layer["digest"])
                image.root = image.root if number else ""  # built from scratch
            elif number == 0:
                image.root = self._root(layer["digest"]) or image.root
        return image

    def _root(self, digest: str) -> str | None:
        """The lab's root file system that a layer stands for, if the registry has its content."""
        try:
            return root_of(self._blob(digest))
        except CallError as error:
            if error.code == "LayersNotFoundException":  # a layer that only its manifest knows
                return None
            raise

    def _manifest(self, wanted: dict[str, str]) -> tuple[str, dict[str, Any]] | None:
        kinds = [_MANIFEST, _INDEX, _OCI, _OCI_INDEX]
        found = self._call("BatchGetImage", imageIds=[wanted], acceptedMediaTypes=kinds)
        if not found["images"]:
            return None
        image = found["images"][0]
        return image["imageId"]["imageDigest"], json.loads(image["imageManifest"])

    def _blob(self, digest: str) -> bytes:
        url = self._call("GetDownloadUrlForLayer", layerDigest=digest)["downloadUrl"]
        return _send(url, {})

    def push(self, image: Image, show: Any) -> tuple[str, int]:
        """Send an image; return the digest and the size of its manifest.

        Args:
            image: the image.
            show: called with docker's line about each layer.

        Raises:
            CallError: ECR refused.
        """
        blobs = {digest: self.daemon.store.read(digest) for digest in image.layers}
        if image.root:
            below = root_layer(image.root)
            blobs = {below.digest: below.content, **blobs}
        for digest, content in blobs.items():
            new = self._upload(digest, content)
            show(f"{digest[7:19]}: {'Pushed' if new else 'Layer already exists'}")
        config = image.document()
        self._upload(image.id, config)
        layers = [
            {"mediaType": _LAYER, "size": _size(content), "digest": digest}
            for digest, content in blobs.items()
        ]
        named = {"mediaType": _CONFIG, "size": len(config), "digest": image.id}
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": named, "layers": layers}
        text = json.dumps(manifest, indent=3)
        tag = {"imageTag": self.name.tag} if self.name.tag else {}
        try:
            self._call("PutImage", imageManifest=text, imageManifestMediaType=_MANIFEST, **tag)
        except CallError as error:
            if error.code != "ImageAlreadyExistsException":  # docker takes that for a success
                raise
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}", len(text)

    def _upload(self, digest: str, content: bytes) -> bool:
        """Send a blob, unless the repository has it; return whether it was sent."""
        known = self._call("BatchCheckLayerAvailability", layerDigests=[digest])
        if known["layers"]:
            return False
        begun = self._call("InitiateLayerUpload")
        upload, size = begun["uploadId"], begun["partSize"]
        for first in range(0, len(content), size):
            part = content[first : first + size]
            self._call(
                "UploadLayerPart",
                uploadId=upload,
                partFirstByte=first,
                partLastByte=first + len(part) - 1,
                layerPartBlob=base64.b64encode(part).decode(),
            )
        self._call("CompleteLayerUpload", uploadId=upload, layerDigests=[digest])
        return True


def _size(content: bytes) -> int:
    """The size of a layer's files: the manifest says it."""
    return int(json.loads(content).get("size", 0))

"""Pushing to ECR: the calls behind `docker login` and `docker push`.

As on AWS, they need permissions under their own names. A layer is uploaded whole before a manifest
may name it. What the lab uploads for a layer is a list of its files (see `image_build.layers`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws.ecr import images
from sm_proxy_lab.aws.ecr.repositories import IMMUTABLE
from sm_proxy_lab.aws.http.call import ACCOUNT
from sm_proxy_lab.aws.http.errors import AwsError, Reply

if TYPE_CHECKING:
    from sm_proxy_lab.aws.ecr.repositories import Repositories, Repository
    from sm_proxy_lab.aws.http.call import Call

_TOKEN_LIFE_S: Final = 12 * 3600
_PART: Final = 20 * 1024 * 1024


class Uploads:
    """Takes what `docker push` sends."""

    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories
        self._lock = threading.Lock()
        self._open: dict[str, bytearray] = {}
        self._passwords: dict[str, float] = {}
        self.operations = {
            "GetAuthorizationToken": self._token,
            "BatchCheckLayerAvailability": self._check,
            "InitiateLayerUpload": self._initiate,
            "UploadLayerPart": self._part,
            "CompleteLayerUpload": self._complete,
            "PutImage": self._put_image,
        }

    def _token(self, call: Call) -> dict[str, Any]:
        until = time.time() + _TOKEN_LIFE_S
        payload = {"payload": secrets.token_hex(16), "version": "2", "type": "DATA_KEY"}
        text = json.dumps({**payload, "expiration": int(until)})
        password = base64.b64encode(text.encode()).decode()
        with self._lock:
            self._passwords[password] = until
        token = base64.b64encode(f"AWS:{password}".encode()).decode()
        host = images.host(call.params.get("registryIds", [ACCOUNT])[0], call.region)
        shown = {
            "authorizationToken": token,
            "expiresAt": round(until, 3),
            "proxyEndpoint": f"https://{host}",
        }
        return {"authorizationData": [shown]}

    def login(self, call: Call) -> Reply:
        """Answer `GET /v2/`, with which docker tries a password."""
        kind, _, word = call.headers.get("authorization", "").partition(" ")
        try:
            user, _, password = base64.b64decode(word).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user = password = ""
        with self._lock:
            known = self._passwords.get(password, 0) > time.time()
        if kind == "Basic" and user == "AWS" and known:
            return Reply(200, b"{}", {"Content-Type": "application/json"})
        if word:
            return Reply(400, b"Bad Request\n", {"Content-Type": "text/plain"})
        realm = 'Basic realm="https://lab/",service="ecr.amazonaws.com"'
        return Reply(401, b"Not Authorized\n", {"Www-Authenticate": realm})

    def _check(self, call: Call) -> dict[str, Any]:
        with self._repositories.lock:
            repository = self._repositories.of_call(call)
            found, failures = [], []
            for digest in call.params["layerDigests"]:
                blob = repository.find_blob(digest)
                if blob is None:
                    failure = {
                        "layerDigest": digest,
                        "failureCode": "MissingLayerDigest",
                        "failureReason": "Requested layer not found",
                    }
                    failures.append(failure)
                    continue
                shown = {
                    "layerDigest": digest,
                    "layerAvailability": "AVAILABLE",
                    "layerSize": len(blob.content),
                    "mediaType": blob.media_type,
                }
                found.append(shown)
        return {"layers": found, "failures": failures}

    def _initiate(self, call: Call) -> dict[str, Any]:
        with self._repositories.lock:
            self._repositories.of_call(call)
        upload = str(uuid.uuid4())
        with self._lock:
            self._open[upload] = bytearray()
        return {"uploadId": upload, "partSize": _PART}

    def _upload(self, call: Call, repository: Repository) -> bytearray:
        """The bytes of an upload so far.

        Raises:
            AwsError: there is no such upload.
        """
        upload = call.params["uploadId"]
        if upload not in self._open:
            message = (
                f"An upload with id '{upload}' in the repository with name '{repository.name}' in "
                f"the registry with id '{repository.registry}' does not exist or has expired"
            )
            raise AwsError("UploadNotFoundException", message)
        return self._open[upload]

    def _part(self, call: Call) -> dict[str, Any]:
        params = call.params
        with self._repositories.lock, self._lock:
            repository = self._repositories.of_call(call)
            content = self._upload(call, repository)
            if params["partFirstByte"] != len(content):
                message = f"The part must begin at byte {len(content)}"
                raise AwsError("InvalidLayerPartException", message)
            content += base64.b64decode(params["layerPartBlob"])
            return _where(repository) | {
                "uploadId": params["uploadId"],
                "lastByteReceived": len(content) - 1,
            }

    def _complete(self, call: Call) -> dict[str, Any]:
        params = call.params
        with self._repositories.lock, self._lock:
            repository = self._repositories.of_call(call)
            content = bytes(self._upload(call, repository))
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            if digest not in params["layerDigests"]:
                message = (
                    f"Provided digest '{params['layerDigests'][0]}' does not match the digest of "
                    "the uploaded layer"
                )
                raise AwsError("InvalidLayerException", message)
            del self._open[params["uploadId"]]
            repository.blobs[digest] = images.Blob(images.LAYER, content)
            return _where(repository) | {"uploadId": params["uploadId"], "layerDigest": digest}

    def _put_image(self, call: Call) -> dict[str, Any]:
        params = call.params
        with self._repositories.lock:
            repository = self._repositories.of_call(call)
            text, tag = params["imageManifest"], params.get("imageTag")
            manifest = _read(text)
            pushed = _pushed(repository, text, manifest)
            _check_tag(repository, tag, pushed.top.digest)
            repository.put(tag, pushed)
            named = {"imageDigest": pushed.top.digest, **({"imageTag": tag} if tag else {})}
            image = {
                **_where(repository),
                "imageId": named,
                "imageManifest": text,
                "imageManifestMediaType": pushed.top.media_type,
            }
            return {"image": image}


def _where(repository: Repository) -> dict[str, Any]:
    return {"registryId": repository.registry, "repositoryName": repository.name}


def _read(text: str) -> dict[str, Any]:
    try:
        manifest = json.loads(text)
        named = [manifest["config"]["digest"], *(each["digest"] for each in manifest["layers"])]
    except (ValueError, TypeError, KeyError):
        message = "Invalid parameter at 'ImageManifest' failed to satisfy constraint: "
        raise AwsError(
            "InvalidParameterException", message + "'Invalid JSON syntax or unknown manifest'"
        ) from None
    return {**manifest, "named": named}


def _pushed(repository: Repository, text: str, manifest: dict[str, Any]) -> images.Pushed:
    """The image that a manifest describes.

    Raises:
        AwsError: something that it names was not uploaded.
    """
    missing = [digest for digest in manifest["named"] if repository.find_blob(digest) is None]
    if missing:
        message = (
            f"The layers with digests '{missing}' required for pushing image into repository with "
            f"name '{repository.name}' in the registry with id '{repository.registry}' do not exist"
        )
        raise AwsError("LayersNotFoundException", message)
    config = repository.find_blob(manifest["config"]["digest"])
    top = images.Blob(manifest.get("mediaType", images.DOCKER), text.encode())
    named = (repository.find_blob(layer["digest"]) for layer in manifest["layers"])
    layers = tuple(blob for blob in named if blob)
    return images.Pushed(top, configs=(config,) if config else (), layers=layers)


def _check_tag(repository: Repository, tag: str | None, digest: str) -> None:
    """Refuse what is there already, and a tag that may not move.

    Raises:
        AwsError: the refusal.
    """
    known = repository.tags.get(tag or "")
    where = f"in the '{repository.name}' repository in the registry with id '{repository.registry}'"
    if tag and known == digest:
        message = f"Image with digest '{digest}' and tag '{tag}' already exists {where}"
        raise AwsError("ImageAlreadyExistsException", message)
    if tag and known and repository.mutability == IMMUTABLE:
        message = (
            f"The image tag '{tag}' already exists in the '{repository.name}' repository and "
            "cannot be overwritten because the repository is immutable."
        )
        raise AwsError("ImageTagAlreadyExistsException", message)

"""ECR: what it answers about the images that were registered, and the URL of a config."""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlencode

from sm_proxy_lab.aws.denial import refusal
from sm_proxy_lab.aws.ecr import images
from sm_proxy_lab.aws.http.call import ACCOUNT
from sm_proxy_lab.aws.http.errors import AwsError, Reply

if TYPE_CHECKING:
    from sm_proxy_lab.aws.ecr.images import Blob, Pushed
    from sm_proxy_lab.aws.http.call import Call

_LIFE_S: Final = 3600
_BUCKET: Final = "starport-layer-bucket"

Repository = tuple[str, str, str]
"""Account, region, name."""


class Ecr:
    """The repositories of all accounts and regions.

    An image of another account can be read: its repository allows it, as those of AWS's framework
    images do. A repository of another account that nobody registered refuses all.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pushed: dict[Repository, list[Pushed]] = {}
        self._tags: dict[Repository, dict[str, str]] = {}
        self._urls: dict[str, Blob] = {}
        self.operations = {
            "BatchGetImage": self._batch_get,
            "GetDownloadUrlForLayer": self._download_url,
            "DescribeImages": self._describe,
        }

    def put(self, uri: str, pushed: Pushed) -> str:
        """Keep an image under its tag, which moves if another image has it; return its digest.

        Raises:
            ValueError: `uri` is not an image in ECR with a tag.
        """
        name = images.parse(uri)
        if name is None or name.reference.startswith("sha256:"):
            raise ValueError(f"not an image in ECR with a tag: {uri}")
        key = (name.registry, name.region, name.repository)
        digest = pushed.top.digest
        with self._lock:
            known = self._pushed.setdefault(key, [])
            known[:] = [image for image in known if image.top.digest != digest] + [pushed]
            self._tags.setdefault(key, {})[name.reference] = digest
        return digest

    def find(self, uri: str) -> Pushed | None:
        """The image of that URI."""
        name = images.parse(uri)
        if name is None:
            return None
        key = (name.registry, name.region, name.repository)
        with self._lock:
            digest = self._tags.get(key, {}).get(name.reference, name.reference)
            return next((i for i in self._pushed.get(key, ()) if i.top.digest == digest), None)

    def _repository(self, call: Call) -> Repository:
        """The repository that a call names.

        Raises:
            AwsError: There is none, or it is not ours and does not allow us to read it.
        """
        registry = call.params.get("registryId", ACCOUNT)
        key = (registry, call.region, call.params["repositoryName"])
        if key in self._pushed:
            return key
        if registry != ACCOUNT:
            raise refusal(call, "resource-based policy")
        message = (
            f"The repository with name '{key[2]}' does not exist in the registry with id "
            f"'{registry}'"
        )
        raise AwsError("RepositoryNotFoundException", message)

    def _batch_get(self, call: Call) -> dict[str, Any]:
        with self._lock:
            key = self._repository(call)
            accepted = call.params.get("acceptedMediaTypes")
            found: list[dict[str, Any]] = []
            failures: list[dict[str, Any]] = []
            for wanted in call.params["imageIds"]:
                blob = self._manifest(key, wanted)
                if blob is None or (accepted and blob.media_type not in accepted):
                    failure = {
                        "imageId": wanted,
                        "failureCode": "ImageNotFound",
                        "failureReason": "Requested image not found",
                    }
                    failures.append(failure)
                    continue
                shown = {
                    "registryId": key[0],
                    "repositoryName": key[2],
                    "imageId": {**wanted, "imageDigest": blob.digest},
                    "imageManifest": blob.content.decode(),
                    "imageManifestMediaType": blob.media_type,
                }
                found.append(shown)
            return {"images": found, "failures": failures}

    def _manifest(self, key: Repository, wanted: dict[str, str]) -> Blob | None:
        digest = wanted.get("imageDigest") or self._tags[key].get(wanted.get("imageTag", ""))
        blobs = [blob for image in self._pushed[key] for blob in (image.top, *image.children)]
        return next((blob for blob in blobs if blob.digest == digest), None)

    def _download_url(self, call: Call) -> dict[str, Any]:
        wanted = call.params["layerDigest"]
        with self._lock:
            key = self._repository(call)
            configs = [blob for image in self._pushed[key] for blob in image.configs]
            blob = next((blob for blob in configs if blob.digest == wanted), None)
            if blob is None:
                message = (
                    f"The layer with digest '{wanted}' does not exist within the repository "
                    f"with name '{key[2]}' in the registry with id '{key[0]}'"
                )
                raise AwsError("LayersNotFoundException", message)
            path = f"/prod-{call.region}-{_BUCKET}/{secrets.token_hex(8)}/{secrets.token_hex(16)}"
            now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            proof = {
                "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
                "X-Amz-Credential": f"ASIALABECR/{now[:8]}/{call.region}/s3/aws4_request",
                "X-Amz-Date": now,
                "X-Amz-Expires": str(_LIFE_S),
                "X-Amz-SignedHeaders": "host",
                "X-Amz-Signature": secrets.token_hex(32),
            }
            target = f"{path}?{urlencode(proof)}"
            self._urls[target] = blob
        host = call.headers.get("host", "127.0.0.1")
        return {"downloadUrl": f"http://{host}{target}", "layerDigest": wanted}

    def serves(self, call: Call) -> bool:
        """Whether a request is for one of the URLs that GetDownloadUrlForLayer gives out."""
        return call.path.startswith("/prod-") and f"-{_BUCKET}/" in call.path

    def download(self, call: Call) -> Reply:
        """Answer such a request: the URL alone is the proof, as S3 has it.

        Raises:
            AwsError: The URL was changed, or the request carries a second proof.
        """
        if "authorization" in call.headers:
            message = "Only one auth mechanism allowed"
            raise AwsError("InvalidArgument", message)
        blob = self._urls.get(f"{call.path}?{call.query}")
        if call.method != "GET" or blob is None or "X-Amz-Signature" not in parse_qs(call.query):
            raise AwsError("AccessDenied", "Access Denied", 403)
        return Reply(200, blob.content, {"Content-Type": "application/octet-stream"})

    def _describe(self, call: Call) -> dict[str, Any]:
        with self._lock:
            key = self._repository(call)
            asked = call.params.get("imageIds")
            found: list[Pushed] = []
            for wanted in asked or ():
                digest = wanted.get("imageDigest") or self._tags[key].get(wanted.get("imageTag"))
                image = next((i for i in self._pushed[key] if i.top.digest == digest), None)
                if image is None:
                    shown = ", ".join(f"{name[5:].lower()}:'{wanted[name]}'" for name in wanted)
                    message = (
                        f"The image with imageId {{{shown}}} does not exist within the repository "
                        f"with name '{key[2]}' in the registry with id '{key[0]}'"
                    )
                    raise AwsError("ImageNotFoundException", message)
                found.append(image)
            chosen = found if asked else self._pushed[key]
            return {"imageDetails": [self._detail(key, image) for image in chosen]}

    def _detail(self, key: Repository, image: Pushed) -> dict[str, Any]:
        tags = [tag for tag, digest in self._tags[key].items() if digest == image.top.digest]
        return {
            "registryId": key[0],
            "repositoryName": key[2],
            "imageDigest": image.top.digest,
            **({"imageTags": tags} if tags else {}),
            "imageSizeInBytes": 32_654,
            "imagePushedAt": round(image.at, 3),
            "imageManifestMediaType": image.top.media_type,
        }

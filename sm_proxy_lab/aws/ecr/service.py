"""ECR: what it answers about images, and the URLs of their configs and layers."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlencode

from sm_proxy_lab.aws.ecr import images
from sm_proxy_lab.aws.ecr.repositories import Repositories
from sm_proxy_lab.aws.ecr.uploads import Uploads
from sm_proxy_lab.aws.http.errors import AwsError, Reply

if TYPE_CHECKING:
    from sm_proxy_lab.aws.ecr.images import Blob, Pushed
    from sm_proxy_lab.aws.ecr.repositories import Repository
    from sm_proxy_lab.aws.http.call import Call

_LIFE_S: Final = 3600
_BUCKET: Final = "starport-layer-bucket"


class Ecr:
    """The images in the repositories.

    An image of another account can be read: its repository allows it, as those of AWS's framework
    images do. A repository of another account that is not registered refuses every call.
    """

    def __init__(self) -> None:
        self.repositories = Repositories()
        self._uploads = Uploads(self.repositories)
        self._lock = self.repositories.lock
        self._urls: dict[str, Blob] = {}
        self.operations = {
            "BatchGetImage": self._batch_get,
            "BatchDeleteImage": self._batch_delete,
            "GetDownloadUrlForLayer": self._download_url,
            "DescribeImages": self._describe,
            "ListImages": self._list,
            **self.repositories.operations,
            **self._uploads.operations,
        }

    def put(self, uri: str, pushed: Pushed) -> str:
        """Keep an image under its tag, which moves if another image has it; return its digest.

        Raises:
            ValueError: `uri` is not an image in ECR with a tag.
        """
        name = images.parse(uri)
        if name is None or name.reference.startswith("sha256:"):
            raise ValueError(f"not an image in ECR with a tag: {uri}")
        with self._lock:
            repository = self.repositories.ensure(name.registry, name.region, name.repository)
            repository.put(name.reference, pushed)
        return pushed.top.digest

    def find(self, uri: str) -> Pushed | None:
        """The image of that URI."""
        name = images.parse(uri)
        if name is None:
            return None
        with self._lock:
            repository = self.repositories.find(name.registry, name.region, name.repository)
            if repository is None:
                return None
            return repository.image(repository.tags.get(name.reference, name.reference))

    def _batch_get(self, call: Call) -> dict[str, Any]:
        with self._lock:
            repository = self.repositories.of_call(call)
            accepted = call.params.get("acceptedMediaTypes")
            found: list[dict[str, Any]] = []
            failures: list[dict[str, Any]] = []
            for wanted in call.params["imageIds"]:
                blob = _manifest(repository, wanted)
                if blob is None or (accepted and blob.media_type not in accepted):
                    failure = {
                        "imageId": wanted,
                        "failureCode": "ImageNotFound",
                        "failureReason": "Requested image not found",
                    }
                    failures.append(failure)
                    continue
                shown = {
                    "registryId": repository.registry,
                    "repositoryName": repository.name,
                    "imageId": {**wanted, "imageDigest": blob.digest},
                    "imageManifest": blob.content.decode(),
                    "imageManifestMediaType": blob.media_type,
                }
                found.append(shown)
            return {"images": found, "failures": failures}

    def _download_url(self, call: Call) -> dict[str, Any]:
        wanted = call.params["layerDigest"]
        with self._lock:
            repository = self.repositories.of_call(call)
            blob = repository.find_blob(wanted)
            if blob is None:
                message = (
                    f"The layer with digest '{wanted}' does not exist within the repository with "
                    f"name '{repository.name}' in the registry with id '{repository.registry}'"
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
        """Whether a request is for the registry itself, or for a URL of GetDownloadUrlForLayer."""
        return call.path == "/v2/" or (
            call.path.startswith("/prod-") and f"-{_BUCKET}/" in call.path
        )

    def serve(self, call: Call) -> Reply:
        """Answer such a request: the URL alone is the proof, as S3 has it.

        Raises:
            AwsError: The URL was changed, or the request carries a second proof.
        """
        if call.path == "/v2/":
            call.service, call.operation = "ecr-registry", "GET /v2/"
            return self._uploads.login(call)
        if "authorization" in call.headers:
            message = "Only one auth mechanism allowed"
            raise AwsError("InvalidArgument", message)
        blob = self._urls.get(f"{call.path}?{call.query}")
        if call.method != "GET" or blob is None or "X-Amz-Signature" not in parse_qs(call.query):
            raise AwsError("AccessDenied", "Access Denied", 403)
        return Reply(200, blob.content, {"Content-Type": "application/octet-stream"})

    def _describe(self, call: Call) -> dict[str, Any]:
        with self._lock:
            repository = self.repositories.of_call(call)
            asked = call.params.get("imageIds")
            found: list[Pushed] = []
            for wanted in asked or ():
                image = repository.image(repository.digest(wanted))
                if image is None:
                    shown = ", ".join(f"{name[5:].lower()}:'{wanted[name]}'" for name in wanted)
                    message = (
                        f"The image with imageId {{{shown}}} does not exist within the repository "
                        f"with name '{repository.name}' in the registry with id "
                        f"'{repository.registry}'"
                    )
                    raise AwsError("ImageNotFoundException", message)
                found.append(image)
            chosen = found if asked else repository.images
            return {"imageDetails": [_detail(repository, image) for image in chosen]}

    def _list(self, call: Call) -> dict[str, Any]:
        with self._lock:
            repository = self.repositories.of_call(call)
            named = [
                {"imageDigest": digest, "imageTag": tag} for tag, digest in repository.tags.items()
            ]
            tagged = set(repository.tags.values())
            others = [image.top.digest for image in repository.images]
            bare = [{"imageDigest": digest} for digest in others if digest not in tagged]
            return {"imageIds": named + bare}

    def _batch_delete(self, call: Call) -> dict[str, Any]:
        with self._lock:
            repository = self.repositories.of_call(call)
            gone, failures = [], []
            for wanted in call.params["imageIds"]:
                digest = repository.digest(wanted)
                if digest is None or repository.image(digest) is None:
                    failure = {
                        "imageId": wanted,
                        "failureCode": "ImageNotFound",
                        "failureReason": "Requested image not found",
                    }
                    failures.append(failure)
                    continue
                gone.append({**wanted, "imageDigest": digest})
                repository.tags.pop(wanted.get("imageTag", ""), None)
                if "imageTag" not in wanted or digest not in repository.tags.values():
                    repository.remove(digest)
            return {"imageIds": gone, "failures": failures}


def _manifest(repository: Repository, wanted: dict[str, str]) -> Blob | None:
    digest = repository.digest(wanted)
    blobs = [blob for image in repository.images for blob in (image.top, *image.children)]
    return next((blob for blob in blobs if blob.digest == digest), None)


def _detail(repository: Repository, image: Pushed) -> dict[str, Any]:
    tags = [tag for tag, digest in repository.tags.items() if digest == image.top.digest]
    return {
        "registryId": repository.registry,
        "repositoryName": repository.name,
        "imageDigest": image.top.digest,
        **({"imageTags": tags} if tags else {}),
        "imageSizeInBytes": image.size,
        "imagePushedAt": round(image.at, 3),
        "imageManifestMediaType": image.top.media_type,
    }

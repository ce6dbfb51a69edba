"""The repositories of ECR, of all accounts and regions."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws.denial import refusal
from sm_proxy_lab.aws.ecr import images
from sm_proxy_lab.aws.http.call import ACCOUNT
from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from sm_proxy_lab.aws.ecr.images import Blob, Pushed
    from sm_proxy_lab.aws.http.call import Call

MUTABLE: Final = "MUTABLE"
IMMUTABLE: Final = "IMMUTABLE"


@dataclass
class Repository:
    """One repository.

    Attributes:
        registry: the account.
        region: its region.
        name: its name.
        mutability: `MUTABLE` or `IMMUTABLE`: whether an image's tag may move.
        scan: scan images when they are pushed.
        labels: the tags of the repository itself.
        created: seconds of the epoch.
        images: what was pushed, the oldest first.
        tags: tag -> digest of its image.
        blobs: digest -> layer or config that was uploaded.
    """

    registry: str
    region: str
    name: str
    mutability: str = MUTABLE
    scan: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    images: list[Pushed] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)

    def digest(self, wanted: dict[str, str]) -> str | None:
        """The digest that an `imageId` of a request means; None for an unknown tag."""
        return wanted.get("imageDigest") or self.tags.get(wanted.get("imageTag", ""))

    def image(self, digest: str | None) -> Pushed | None:
        """The image of that digest."""
        return next((image for image in self.images if image.top.digest == digest), None)

    def put(self, tag: str | None, pushed: Pushed) -> None:
        """Keep an image; its tag moves if another image has it."""
        digest = pushed.top.digest
        self.images = [image for image in self.images if image.top.digest != digest] + [pushed]
        if tag is not None:
            self.tags[tag] = digest

    def remove(self, digest: str) -> None:
        """Drop an image with its tags."""
        self.images = [image for image in self.images if image.top.digest != digest]
        self.tags = {tag: named for tag, named in self.tags.items() if named != digest}

    def find_blob(self, digest: str) -> Blob | None:
        """A layer or a config, uploaded or part of an image."""
        known = {blob.digest: blob for image in self.images for blob in image.configs}
        return self.blobs.get(digest) or known.get(digest)


class Repositories:
    """Finds repositories. Hold `lock` while you use one."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._all: dict[tuple[str, str, str], Repository] = {}
        self.operations = {
            "CreateRepository": self._create,
            "DescribeRepositories": self._describe,
            "DeleteRepository": self._delete,
            "ListTagsForResource": self._list_tags,
            "TagResource": self._tag,
            "UntagResource": self._untag,
        }

    def ensure(self, registry: str, region: str, name: str) -> Repository:
        """The repository, made if there is none."""
        return self._all.setdefault((registry, region, name), Repository(registry, region, name))

    def find(self, registry: str, region: str, name: str) -> Repository | None:
        """The repository of that name; None if there is none."""
        return self._all.get((registry, region, name))

    def labels(self, registry: str, region: str, name: str) -> dict[str, str]:
        """The tags of a repository, for a policy's conditions; empty if there is none."""
        with self.lock:
            found = self.find(registry, region, name)
            return dict(found.labels) if found else {}

    def of_call(self, call: Call) -> Repository:
        """The repository that a call names.

        Raises:
            AwsError: there is none, or it is not ours and does not allow us to read it.
        """
        return self._named(call, call.params["repositoryName"])

    def _named(self, call: Call, name: str) -> Repository:
        registry = call.params.get("registryId", ACCOUNT)
        found = self.find(registry, call.region, name)
        if found is not None:
            return found
        if registry != ACCOUNT:
            raise refusal(call, "resource-based policy")
        message = (
            f"The repository with name '{name}' does not exist in the registry with id '{registry}'"
        )
        raise AwsError("RepositoryNotFoundException", message)

    def _create(self, call: Call) -> dict[str, Any]:
        params, name = call.params, call.params["repositoryName"]
        with self.lock:
            if self.find(ACCOUNT, call.region, name):
                message = (
                    f"The repository with name '{name}' already exists in the registry with id "
                    f"'{ACCOUNT}'"
                )
                raise AwsError("RepositoryAlreadyExistsException", message)
            made = self.ensure(ACCOUNT, call.region, name)
            made.mutability = params.get("imageTagMutability", MUTABLE)
            made.scan = bool(params.get("imageScanningConfiguration", {}).get("scanOnPush"))
            made.labels = _labels(params)
            return {"repository": _shown(call, made)}

    def _describe(self, call: Call) -> dict[str, Any]:
        registry = call.params.get("registryId", ACCOUNT)
        with self.lock:
            names = call.params.get("repositoryNames")
            if names:
                found = [self._named(call, name) for name in names]
            else:
                where = registry, call.region
                found = [repo for key, repo in sorted(self._all.items()) if key[:2] == where]
            return {"repositories": [_shown(call, repository) for repository in found]}

    def _delete(self, call: Call) -> dict[str, Any]:
        with self.lock:
            found = self.of_call(call)
            if found.images and not call.params.get("force"):
                message = (
                    f"The repository with name '{found.name}' in registry with id "
                    f"'{found.registry}' cannot be deleted because it still contains images"
                )
                raise AwsError("RepositoryNotEmptyException", message)
            del self._all[found.registry, found.region, found.name]
            return {"repository": _shown(call, found)}

    def _of_arn(self, call: Call) -> Repository:
        """The repository of `resourceArn`.

        Raises:
            AwsError: there is none.
        """
        return self._named(call, call.params["resourceArn"].partition(":repository/")[2])

    def _list_tags(self, call: Call) -> dict[str, Any]:
        with self.lock:
            labels = self._of_arn(call).labels
            return {"tags": [{"Key": key, "Value": value} for key, value in labels.items()]}

    def _tag(self, call: Call) -> dict[str, Any]:
        with self.lock:
            self._of_arn(call).labels |= _labels(call.params)
        return {}

    def _untag(self, call: Call) -> dict[str, Any]:
        with self.lock:
            labels = self._of_arn(call).labels
            for key in call.params["tagKeys"]:
                labels.pop(key, None)
        return {}


def _labels(params: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in params.get("tags", ())}


def _shown(call: Call, repository: Repository) -> dict[str, Any]:
    where = f"ecr:{repository.region}:{repository.registry}"
    uri = images.host(repository.registry, repository.region)
    return {
        "repositoryArn": f"arn:{call.partition}:{where}:repository/{repository.name}",
        "registryId": repository.registry,
        "repositoryName": repository.name,
        "repositoryUri": f"{uri}/{repository.name}",
        "createdAt": round(repository.created, 3),
        "imageTagMutability": repository.mutability,
        "imageScanningConfiguration": {"scanOnPush": repository.scan},
        "encryptionConfiguration": {"encryptionType": "AES256"},
    }

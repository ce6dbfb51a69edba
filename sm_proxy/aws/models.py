"""Service models cut down to the operations we call, made once from the installed botocore.

Most of the time to create a client goes into parsing its service model (EC2's is 2 MB of JSON). The
cut-down models are in the cache folder, one set for each botocore version. They are parts of
botocore's own data, so requests, signing and parsing stay the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import botocore
from botocore.loaders import JSONFileLoader, Loader

from sm_proxy.aws.job_kinds import KINDS, SESSION_KINDS
from sm_proxy.local import debug_log, paths, private_files

_LAUNCHING: Final = ("CreateProcessingJob", "CreateTrainingJob", "ListTags", "UpdateTrainingJob")
"""They make the model of SageMaker 8 % larger, which costs a connection nothing measurable."""
_PLACE: Final = ("DescribeDomain", "DescribeNotebookInstance")
"""For a terminal in SageMaker: in which VPC it is."""
OPERATIONS: Final[dict[str, tuple[str, ...]]] = {
    "sagemaker": tuple(
        sorted(
            {
                *(*_LAUNCHING, *_PLACE),
                *(name for row in KINDS.values() for name in row),
                *(name for row in SESSION_KINDS.values() for name in row.operations),
            }
        )
    ),
    "logs": ("DescribeLogStreams", "GetLogEvents"),
    "ec2": (
        *(
            "DescribeAvailabilityZones",
            "DescribeInstanceConnectEndpoints",
            "DescribeInstances",
            "DescribeNetworkAcls",
            "DescribeNetworkInterfaces",
        ),
        *("DescribeRouteTables",),
        *("DescribeSecurityGroups", "DescribeSubnets", "DescribeVpcEndpoints"),
        *("DescribeVpcAttribute", "DescribeVpcEndpointServices", "DescribeVpcs"),
        "GetConsoleOutput",
    ),
    "ec2-instance-connect": ("SendSSHPublicKey",),
    "ssm": (
        *("DescribeInstanceInformation", "GetConnectionStatus"),
        *("ResumeSession", "StartSession", "TerminateSession"),
    ),
    "ecr": (
        *("BatchGetImage", "CreateRepository", "DeleteRepository", "DescribeImages"),
        *("DescribeRepositories", "GetDownloadUrlForLayer", "ListTagsForResource"),
    ),
    "iam": ("SimulatePrincipalPolicy",),
    "cloudformation": (
        *("CreateStack", "DeleteStack", "DescribeStackDriftDetectionStatus", "DescribeStackEvents"),
        *("DescribeStackResourceDrifts", "DescribeStackResources", "DescribeStacks"),
        *("DetectStackDrift", "GetTemplate", "UpdateStack"),
    ),
    "autoscaling": ("DescribeAutoScalingGroups", "DescribeScalingActivities"),
    "codebuild": ("BatchGetBuilds", "BatchGetProjects", "StartBuild", "StopBuild"),
    "pricing": ("GetProducts",),
}
_FORMAT: Final = 2
_MODEL: Final = "service-2"
_RULE_SET: Final = "endpoint-rule-set-1"
_ENDPOINTS: Final = "endpoints"
_OTHERS: Final = ("kms", "s3", "signin", "sso", "sso-oidc", "sts")
"""Services with full models: for the session's data key, users' public keys, and credentials."""
SERVICES: Final = (*OPERATIONS, *_OTHERS)
"""The services that clients may be made for: ours and those that fetch credentials."""
_ENDPOINT_PREFIXES: Final = frozenset(
    {*SERVICES, "api.ecr", "api.pricing", "api.sagemaker", "oidc", "portal.sso"}
)


class _KeptFiles(JSONFileLoader):
    """Reads the files of models, and keeps what they hold for all loaders of this process.

    Forks can share it: botocore only completes the endpoints that it uses there.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[os.stat_result, Any]] = {}

    def load_file(self, path: str) -> Any:
        """As botocore's, and again from the disk if the file was replaced."""
        try:
            now = Path(f"{path}.json").stat()
        except OSError:  # a compressed one, or none
            return super().load_file(path)
        then, found = self._kept.get(path, (None, None))
        if then is None or (then.st_ino, then.st_mtime_ns) != (now.st_ino, now.st_mtime_ns):
            found = super().load_file(path)
            self._kept[path] = now, found
        return found


_files: list[JSONFileLoader] = []
"""What all loaders read files with, if `keep_files` was called."""


def keep_files() -> None:
    """From now on keep what is read: forks of this process will read it again and again."""
    _files[:] = [_KeptFiles()]


class CachedLoader(Loader):
    """botocore's loader, which looks into our cache first.

    It also does not list botocore's 450 service folders, as botocore does in every process to learn
    whether a service exists (23 ms).
    """

    def __init__(self) -> None:
        try:
            # An endpoint list or a model by another user could send our calls elsewhere.
            trusted = [str(private_files.ensure_own_dir(_folder()))]
        except OSError as error:
            debug_log.write("models are not cached", why=error)
            trusted = []
        # botocore asks for the home folder when it is imported: here perhaps by the daemon.
        self.CUSTOMER_DATA_PATH = str(Path(os.path.expanduser("~")) / ".aws" / "models")  # noqa: PTH111 - it never fails
        super().__init__(trusted, next(iter(_files), None))

    def list_available_services(self, type_name: str) -> list[str]:
        """The services that clients may be made for."""
        if type_name in {_MODEL, _RULE_SET}:
            return list(SERVICES)
        return list(super().list_available_services(type_name))

    def load_data_with_path(self, name: str) -> tuple[Any, str]:
        """Data by its name. A damaged file of ours is removed, and botocore's own is used."""
        try:
            loaded: tuple[Any, str] = super().load_data_with_path(name)
        except ValueError:
            (_folder() / f"{name}.json").unlink(missing_ok=True)
            loaded = super().load_data_with_path(name)
        return loaded


def ensure_trimmed(service: str) -> None:
    """Cut the models of `service` down, unless the cache has them.

    Without a writable cache, everything works, but takes longer.
    """
    if service in OPERATIONS:
        with contextlib.suppress(OSError):
            private_files.ensure_own_dir(_folder())
            _ensure_endpoints(_folder())
            _ensure_model(_folder(), service)


def _folder() -> Path:
    # Each list of operations has its own folder: a later version of ours may need more of them.
    listed = hashlib.sha256(repr(OPERATIONS).encode()).hexdigest()[:8]
    return paths.cache_dir() / "models" / f"{botocore.__version__}-{_FORMAT}-{listed}"


def _ensure_endpoints(folder: Path) -> None:
    """Save the list of regions and endpoints of our services: the first client saves 25 ms."""
    path = folder / f"{_ENDPOINTS}.json"
    if path.exists():
        return
    endpoints = Loader().load_data(_ENDPOINTS)
    partitions = [
        {**partition, "services": _ours(partition["services"])}
        for partition in endpoints["partitions"]
    ]
    endpoints = {**endpoints, "partitions": partitions}
    private_files.write_private(path, json.dumps(endpoints, separators=(",", ":")).encode())


def _ours(services: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in services.items() if name in _ENDPOINT_PREFIXES}


def _ensure_model(folder: Path, service: str) -> None:
    if any(folder.glob(f"{service}/*/{_MODEL}.json")):
        return
    loader = Loader()
    version = loader.determine_latest_version(service, _MODEL)
    model = loader.load_service_model(service, _MODEL, version)
    content = json.dumps(trim(model, OPERATIONS[service]), separators=(",", ":"))
    private_files.write_private(folder / service / version / f"{_MODEL}.json", content.encode())


def trim(model: dict[str, Any], operations: Iterable[str]) -> dict[str, Any]:
    """`model` with these operations and the shapes that they use, without documentation.

    An operation that is newer than the installed botocore is left out.
    """
    known = model["operations"]
    kept = {name: _without_documentation(known[name]) for name in operations if name in known}
    shapes: dict[str, Any] = {}
    wanted = list(_referenced(kept))
    while wanted:
        name = wanted.pop()
        if name not in shapes:
            shapes[name] = _without_documentation(model["shapes"][name])
            wanted.extend(_referenced(shapes[name]))
    rest = {key: value for key, value in model.items() if key not in _REPLACED}
    return {**rest, "operations": kept, "shapes": shapes}


_REPLACED: Final = frozenset({"operations", "shapes", "documentation"})


def _referenced(node: Any) -> Iterable[str]:
    """Names of the shapes that a part of the model refers to."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "shape" and isinstance(value, str):
                yield value
            else:
                yield from _referenced(value)
    elif isinstance(node, list):
        for item in node:
            yield from _referenced(item)


def _without_documentation(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: _without_documentation(value)
            for key, value in node.items()
            if key != "documentation" or not isinstance(value, str)
        }
    if isinstance(node, list):
        return [_without_documentation(item) for item in node]
    return node

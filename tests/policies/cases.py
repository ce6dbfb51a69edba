"""Commands, each with the pieces of policy that it needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy_lab.machines import role_credentials
from tests.lab.aws.iam.identities import ADMINISTRATOR, client
from tests.lab.aws.sagemaker.studio.conftest import QUICK, app
from tests.policies.place import BUCKET, IMAGE, Outcome, Place, make_space

Prepare = Callable[[Place], None]


def _nothing(_place: Place) -> None:
    """Most commands change nothing that the next one sees."""


@dataclass(frozen=True)
class Case:
    """A command.

    Attributes:
        words: what is typed after `sm-proxy`; names in braces are those of `Place`.
        pieces: the policies of who types it.
        prepare: makes the account ready for it, as its administrator.
        ends: the code of the error with which it ends; None for success. There is no data channel,
            and no container starts.
        refused: operations that are denied to everybody: the session of a space is the service's.
    """

    name: str
    words: tuple[str, ...]
    pieces: tuple[str, ...] = ("user",)
    prepare: Prepare = _nothing
    ends: str | None = None
    refused: tuple[str, ...] = ()

    def run(self, place: Place, *, administrator: bool = False) -> Outcome:
        """Run it as the role under test, or as the administrator."""
        place.lab.control.clear_faults()
        self.prepare(place)
        named = {"folder": str(place.folder), **place.names}
        words = [word.format(**named) for word in self.words]
        return place.run(*words, administrator=administrator)


def _without_remote_debug(place: Place) -> None:
    place.lab.client("sagemaker").update_training_job(
        TrainingJobName="plain", RemoteDebugConfig={"EnableRemoteDebug": False}
    )


def _masked(place: Place) -> None:
    place.lab.control.faults(masked_logs="10[.]0[.]1[.]5")


def _with_request(place: Place) -> None:
    cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}
    request: dict[str, Any] = {
        "TrainingJobName": place.next_name("new"),
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "RoleArn": role_credentials.ARN,
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/output"},
        "ResourceConfig": cluster,
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "Tags": [{"Key": "team", "Value": "lab"}],
    }
    (place.folder / "job.json").write_text(json.dumps(request))
    request = {
        "ProcessingJobName": place.next_name("new"),
        "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": ["python", "x.py"]},
        "RoleArn": role_credentials.ARN,
        "ProcessingResources": {"ClusterConfig": cluster},
    }
    (place.folder / "processing.json").write_text(json.dumps(request))


def _without_our_files(place: Place) -> None:
    """One of the files that a job brings is no longer in S3."""
    _with_request(place)
    s3 = client(place.lab, "s3", ADMINISTRATOR)
    for item in s3.list_objects_v2(Bucket=BUCKET, Prefix="sm-proxy/channel/").get("Contents", ()):
        s3.delete_object(Bucket=BUCKET, Key=item["Key"])
        break


def _with_jobs(place: Place) -> None:
    """Jobs of three kinds that run, and can be stopped once."""
    name = place.names["job"] = place.next_name("running")
    place.start_job(name, "training")
    sagemaker = place.lab.client("sagemaker")
    cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1}
    sagemaker.create_processing_job(
        ProcessingJobName=name,
        AppSpecification={"ImageUri": IMAGE},
        RoleArn=role_credentials.ARN,
        ProcessingResources={"ClusterConfig": cluster | {"VolumeSizeInGB": 10}},
    )
    data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/in"}}
    sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName="m",
        TransformInput={"DataSource": data},
        TransformOutput={"S3OutputPath": f"s3://{BUCKET}/out"},
        TransformResources=cluster,
    )


def _with_space(place: Place) -> None:
    """A space whose app runs; nothing takes time in it."""
    place.lab.control.faults(studio=QUICK)
    name = place.names["space"] = place.next_name("space")
    make_space(place.lab, name)


def _with_stopped_space(place: Place) -> None:
    """A space without an app, and with remote access off."""
    _with_space(place)
    sagemaker = place.lab.client("sagemaker")
    (space,) = sagemaker.list_spaces(SpaceNameContains=place.names["space"])["Spaces"]
    named = {name: space[name] for name in ("DomainId", "SpaceName")}
    sagemaker.delete_app(**app(named))
    sagemaker.update_space(**named, SpaceSettings={"RemoteAccess": "DISABLED"})


def _with_ssh_config(place: Place) -> None:
    if not (place.folder / "dot-ssh" / "config").exists():
        place.run("config", "write", administrator=True)


def _with_old_key(place: Place) -> None:
    _with_ssh_config(place)
    place.run("keys", "rotate", administrator=True)


_OF_SPACES: Final = ("TerminateSession",)
USER: Final = (
    Case("resolve", ("resolve", "sm-ready")),
    Case("list", ("list", "--json")),
    Case("resolve an endpoint", ("resolve", "sm-chat.endpoint"), ends="no-vpc"),
    Case("resolve a short name", ("resolve", "sm-read")),
    Case("resolve a wrong name", ("resolve", "sm-nix"), ends="job-not-found"),
    Case("resolve with a masked log", ("resolve", "sm-ready"), prepare=_masked),
    Case("keys push", ("keys", "push"), prepare=_with_ssh_config),
    Case(
        "keys revoke",
        ("keys", "revoke", "--ssh-config", "{folder}/dot-ssh/config"),
        prepare=_with_old_key,
    ),
    Case(
        "enable-remote-debug",
        ("enable-remote-debug", "sm-plain"),
        prepare=_without_remote_debug,
    ),
    Case("wait", ("wait", "sm-ready"), ends="network"),
    Case("list --check", ("list", "--check"), refused=_OF_SPACES),
    Case("sync", ("sync",), prepare=_with_ssh_config),
    Case("bootstrap", ("bootstrap", "sm-bare", "--yes"), prepare=_with_ssh_config, ends="network"),
    Case("inspect", ("inspect", "sm-ready"), ends="network"),
    Case("cp of an ended job", ("cp", "-r", "sm-failed:/opt/ml/checkpoints", "{folder}/got")),
    Case("by remote-debug", ("--route", "remote-debug", "inspect", "sm-ready"), ends="network"),
    Case("by bastion-ssh", ("--route", "bastion-ssh", "inspect", "sm-ready"), ends="network"),
    Case(
        "by instance-connect",
        ("--route", "instance-connect", "inspect", "sm-on-22"),
        ends="connect-refused",
    ),
    Case(
        "doctor",
        ("doctor", "sm-ready", "--ssh-config", "{folder}/dot-ssh/config"),
        prepare=_with_ssh_config,
        ends="network",
    ),
    Case("a space", ("inspect", "sm-mine.space"), ends="network", refused=_OF_SPACES),
    Case("a node", ("inspect", "sm-c.workers.1.hyperpod"), ends="network"),
    Case("stop a space", ("stop", "--yes", "sm-{space}.space"), prepare=_with_space),
    Case("start a space", ("start", "--yes", "sm-{space}.space"), prepare=_with_stopped_space),
)


_STARTS: Final = ("user", "launcher")
LAUNCHER: Final = (
    Case(
        "launch --dry-run",
        ("launch", "--dry-run", "--json", "{folder}/job.json"),
        _STARTS,
        _with_request,
    ),
    Case("stop", ("stop", "--yes", "sm-{job}"), _STARTS, _with_jobs),
    Case("stop processing", ("stop", "--yes", "sm-{job}.processing"), _STARTS, _with_jobs),
    Case("stop transform", ("stop", "--yes", "sm-{job}.transform"), _STARTS, _with_jobs),
    Case(
        "launch processing",
        ("launch", "--timeout", "1s", "{folder}/processing.json"),
        _STARTS,
        _with_request,
        ends="wait-timeout",
    ),
    Case(
        "launch",
        ("launch", "--timeout", "1s", "{folder}/job.json"),
        _STARTS,
        _without_our_files,
        ends="wait-timeout",
    ),
    Case("relaunch --dry-run", ("relaunch", "--dry-run", "failed"), _STARTS),
    Case("relaunch", ("relaunch", "--timeout", "1s", "failed"), _STARTS, ends="wait-timeout"),
)
CASES: Final = (*USER, *LAUNCHER)

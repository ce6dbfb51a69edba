"""The SSM route: through a bastion instance's agent, with port forwarding to a remote host.

The bastion is the one the user names, else the running instance in the job's VPC with the tag
`sm-proxy:role` = `bastion` that is online in SSM and has the lowest id.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.local import debug_log, output, paths, private_files, process_identity, threads
from sm_proxy.local.signals import Hangup
from sm_proxy.local.threads import Background
from sm_proxy.routes.sessions import Sessions
from sm_proxy.settings import Settings
from sm_proxy.ssm import session as ssm
from sm_proxy.ssm.outbox import LARGE_PAYLOAD, SAFE_PAYLOAD
from sm_proxy.ssm.session import FinalError, Grant, Kind, Session
from sm_proxy.state.cache import Cache

DOCUMENT: Final = "AWS-StartPortForwardingSessionToRemoteHost"
TAG: Final = "sm-proxy:role"
TAG_VALUE: Final = "bastion"
OLDEST_AGENT: Final = (3, 1, 1374, 0)
"""The first agent that forwards to remote hosts (AWS documentation of the document)."""
SESSIONS: Final = Sessions()
_KEY_BYTES: Final = 64
_REMEMBERED_S: Final = 3600.0
_STALE: Final = frozenset({"bastion-offline", "no-bastion", "agent-too-old"})
"""What a remembered bastion may meet that another one would not."""
_PAGE: Final = 50
"""DescribeInstanceInformation gives 10 a page unless asked, 50 at most."""

_CODES: Final[dict[Kind, Code]] = {
    "lost": "session-lost",
    "unreachable": "bastion-offline",
    "refused": "connect-refused",
    "closed": "session-lost",
    "large": "session-lost",
}
_HINTS: Final[dict[Kind, str]] = {
    "lost": "Connect again.",
    "unreachable": "Is the instance running, and its SSM agent?",
    "refused": "Is sshd running in the container, and does its security group let the bastion in?",
    "closed": "Connect again.",
    "large": "Connect again: from now on this bastion gets small messages.",
}


def connect(container: Container, port: int, settings: Settings, aws: Aws) -> Session:
    """Open a stream to the container's port through the bastion.

    Raises:
        SmProxyError: no bastion, offline, too old, denied, or the data channel cannot be opened.
    """
    if settings.bastion:
        return _through(settings.bastion, container, port, aws)
    target, remembered = threads.run(_chosen, aws, container.vpc_id)
    try:
        return _through(target, container, port, aws)
    except SmProxyError as error:
        Cache("bastions").forget(aws.context, container.vpc_id)
        if not remembered or error.code not in _STALE:
            raise
        debug_log.write("the remembered bastion does not do any more", id=target)
    target, _ = threads.run(_chosen, aws, container.vpc_id)
    return _through(target, container, port, aws)


def _chosen(aws: Aws, vpc_id: str) -> tuple[str, bool]:
    """The bastion of a VPC, and whether it was remembered; of many processes one asks."""
    cache = Cache("bastions")
    with cache.alone(aws.context, vpc_id):
        record = cache.load(aws.context, vpc_id) or {}
        if isinstance(known := record.get("id"), str):
            return known, True
        target = find(aws, vpc_id)
        record = {"id": target}
        cache.save(aws.context, vpc_id, record=record, expires=time.time() + _REMEMBERED_S)
    return target, False


def _through(target: str, container: Container, port: int, aws: Aws) -> Session:
    debug_log.write("bastion", id=target)
    api = SsmApi(aws, target, container.address, port, reason=f"sm-proxy {container.job}")
    options = ssm.Options(
        payload_limit=SAFE_PAYLOAD if private_files.exists(_small_only(target)) else LARGE_PAYLOAD,
        ca_bundle=aws.ca_bundle,
        tell=output.status,
        failure=_failures(target),
        over=SESSIONS.over,
        record_fields={"bastion": target, "address": container.address, "port": port},
    )
    return _opened(api, options, aws.context)


def find(aws: Aws, vpc_id: str) -> str:
    """The bastion of a VPC, by its tag.

    Raises:
        SmProxyError: `no-bastion`, `bastion-offline` or `agent-too-old`.
    """
    instances = _tagged(aws, vpc_id)
    running = sorted(item["InstanceId"] for item in instances if _state(item) == "running")
    if not running:
        stopped = ", ".join(f"{item['InstanceId']} is {_state(item)}" for item in instances)
        raise SmProxyError(
            "no-bastion",
            f"no running instance in {vpc_id} has the tag {TAG}={TAG_VALUE}"
            + (f" ({stopped})" if stopped else ""),
            "Tag one, start one, or name one with --bastion.",
        )
    return usable(aws, running)


def usable(aws: Aws, running: list[str]) -> str:
    """The first of some running instances whose agent serves.

    Raises:
        SmProxyError: `bastion-offline` or `agent-too-old`.
    """
    known = _agents(aws, running)
    return running[0] if known is None else _first_usable(running, known)


def _opened(api: SsmApi, options: ssm.Options, context: str) -> Session:
    """StartSession and the websocket; a hang-up meanwhile must not leave a session behind."""
    starting = Background(lambda: SESSIONS.start(api, context), begin=False)
    try:
        starting.begin()
        process_identity.own()  # while the service works: on macOS it takes a while
        grant = starting.result()
        debug_log.write("session granted", id=grant.session_id)
        return threads.run(ssm.start, api, options, grant)
    except (Hangup, KeyboardInterrupt):  # after anything else, nothing is left open
        if (granted := starting.settled(ssm.TERMINATE_DEADLINE_S)) is not None:
            ssm.terminate_within_bound(api, granted.session_id)
        raise


def _first_usable(running: list[str], known: dict[str, dict[str, Any]]) -> str:
    online = [item for item in running if known.get(item, {}).get("PingStatus") == "Online"]
    if not online:
        status = known.get(running[0], {}).get("PingStatus", "unknown to SSM")
        raise SmProxyError(
            "bastion-offline",
            f"the bastion {running[0]} is not online in SSM: it is {status}",
            "Check its SSM agent, its instance profile and its way to the SSM endpoints.",
        )
    for item in online:
        if not _too_old(known[item]):
            return item
    raise _agent_too_old(online[0], known[online[0]])


def _tagged(aws: Aws, vpc_id: str) -> list[dict[str, Any]]:
    filters = [
        {"Name": "vpc-id", "Values": [vpc_id]},
        {"Name": f"tag:{TAG}", "Values": [TAG_VALUE]},
        {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
    ]
    try:
        answer = aws.call("ec2", "DescribeInstances", Filters=filters)
    except ServiceError as error:
        raise error.as_failure() from None
    return [item for group in answer.get("Reservations", []) for item in group["Instances"]]


def _state(instance: dict[str, Any]) -> str:
    return str(instance.get("State", {}).get("Name", ""))


def _agents(aws: Aws, ids: list[str]) -> dict[str, dict[str, Any]] | None:
    """What SSM knows of the instances; None where that may not be asked: StartSession will tell."""
    try:
        answer = aws.call(
            "ssm",
            "DescribeInstanceInformation",
            Filters=[{"Key": "InstanceIds", "Values": ids[:_PAGE]}],
            MaxResults=_PAGE,
        )
    except ServiceError:
        return None
    except SmProxyError as error:
        if error.code == "access-denied":
            return None
        raise
    return {item["InstanceId"]: item for item in answer.get("InstanceInformationList", [])}


def _too_old(information: dict[str, Any]) -> bool:
    """Whether SSM knows the agent's version and it is too low."""
    version = str(information.get("AgentVersion") or "")
    parts = tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))
    return bool(version) and parts < OLDEST_AGENT


def _agent_too_old(target: str, information: dict[str, Any]) -> SmProxyError:
    oldest = ".".join(map(str, OLDEST_AGENT))
    version = information.get("AgentVersion")
    return SmProxyError(
        "agent-too-old",
        f"the SSM agent of {target} is {version}, and forwarding to another host needs {oldest}",
        "Update it, for example with the document AWS-UpdateSSMAgent.",
    )


class SsmApi:
    """The session's API calls for one target, host and port."""

    def __init__(self, aws: Aws, target: str, host: str, port: int, reason: str) -> None:
        self._aws = aws
        self._target = target
        self._parameters = {"host": [host], "portNumber": [str(port)], "localPortNumber": ["0"]}
        self._reason = reason

    def start(self) -> Grant:
        """StartSession on the bastion."""
        try:
            answer = self._aws.call(
                "ssm",
                "StartSession",
                Target=self._target,
                DocumentName=DOCUMENT,
                Parameters=self._parameters,
                Reason=self._reason,
            )
        except ServiceError as error:
            raise self._diagnosed(error) from None
        return _grant(answer)

    def resume(self, session_id: str) -> Grant | None:
        """ResumeSession; None when the service no longer knows the session."""
        try:
            answer = self._aws.call("ssm", "ResumeSession", SessionId=session_id)
        except ServiceError as error:
            if error.error == "DoesNotExistException":
                return None
            raise
        except SmProxyError as error:
            if error.code in {"access-denied", "no-credentials", "expired-credentials"}:
                what = f"the connection was lost and cannot be resumed: {error.message}"
                raise FinalError(SmProxyError(error.code, what, error.hint)) from None
            raise
        return _grant(answer) if answer.get("TokenValue") else None

    def terminate(self, session_id: str) -> None:
        """TerminateSession."""
        SESSIONS.leave(session_id)
        end(self._aws, session_id)
        SESSIONS.over(session_id)

    def data_key(self, key_id: str, session_id: str, challenge: str) -> tuple[bytes, bytes]:
        """GenerateDataKey with the context the agent will check (A: crypto/blockcipher.go)."""
        context = {"aws:ssm:SessionId": session_id, "aws:ssm:TargetId": self._target}
        if challenge:
            context["aws:ssm:RandomChallenge"] = challenge
        try:
            answer = self._aws.call(
                "kms",
                "GenerateDataKey",
                KeyId=key_id,
                NumberOfBytes=_KEY_BYTES,
                EncryptionContext=context,
            )
        except SmProxyError as error:
            what = f"sessions are encrypted with the KMS key {key_id}: {error.message}"
            raise FinalError(SmProxyError(error.code, what, error.hint)) from None
        return answer["CiphertextBlob"], answer["Plaintext"]

    def _diagnosed(self, error: ServiceError) -> SmProxyError:
        """Why StartSession failed: only now is it worth asking what SSM knows of the target."""
        try:
            known = _agents(self._aws, [self._target])
        except SmProxyError:
            known = None  # what StartSession met is the news, not this
        information = (known or {}).get(self._target, {})
        if _too_old(information):
            return _agent_too_old(self._target, information)
        if error.error == "TargetNotConnected":
            status = information.get("PingStatus", "unknown to SSM")
            shown = "" if known is None else f" ({status})"
            return SmProxyError(
                "bastion-offline",
                f"the bastion {self._target} is not connected to SSM{shown}: {error.message}",
                "Check its SSM agent, its instance profile and its way to the SSM endpoints.",
            )
        if error.error == "InvalidTarget":
            return SmProxyError(
                "no-bastion",
                f"{self._target} is no instance that SSM could reach: {error.message}",
                "Name a running instance with --bastion.",
            )
        return error.as_failure()


def end(aws: Aws, session_id: str) -> None:
    """TerminateSession; done also where the service no longer knows the session.

    Raises:
        SmProxyError: it may still be open.
        ServiceError: likewise.
    """
    try:
        aws.call("ssm", "TerminateSession", SessionId=session_id)
    except ServiceError as error:
        if error.error != "DoesNotExistException":
            raise


def _grant(answer: dict[str, Any]) -> Grant:
    return Grant(answer["SessionId"], answer["TokenValue"], answer.get("StreamUrl", ""))


def _failures(target: str) -> Callable[[Kind, str], SmProxyError]:
    """What makes the failure for a session that did not end cleanly."""

    def failure(kind: Kind, reason: str) -> SmProxyError:
        if kind == "large":
            with contextlib.suppress(OSError):
                private_files.write_private(_small_only(target), b"")
        if kind == "closed" and "forbidden" in reason:
            return SmProxyError(
                "address-refused", reason, "The bastion's agent never forwards to this address."
            )
        return SmProxyError(_CODES[kind], reason, _HINTS[kind])

    return failure


def _small_only(target: str) -> Path:
    """A file that is there once this target has refused a large message."""
    return paths.cache_dir() / "small-messages" / target

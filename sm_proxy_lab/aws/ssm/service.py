"""Systems Manager: sessions and their targets."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws import denial, page_tokens
from sm_proxy_lab.aws.gateway_client import GatewayClient, GatewayError
from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.iam.policies import ALLOWED
from sm_proxy_lab.aws.iam.roles import AGENT_ACTIONS
from sm_proxy_lab.aws.sagemaker import clusters
from sm_proxy_lab.aws.ssm import documents

if TYPE_CHECKING:
    from collections.abc import Collection

    from sm_proxy_lab.aws.faults import Faults
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.iam.roles import Roles
    from sm_proxy_lab.aws.sagemaker.service import SageMaker
    from sm_proxy_lab.aws.sagemaker.studio.sessions import SpaceSessions
    from sm_proxy_lab.aws.ssm.instances import ManagedInstances
    from sm_proxy_lab.aws.vpc.enforcement import Enforcement

_REMOTE_HOST_SINCE = (3, 1, 1374, 0)
_TRAINING = re.compile(r"sagemaker-training-job:(?P<job>[A-Za-z0-9-]+)_algo-(?P<node>[1-9]\d*)")
_ANSWER = ("SessionId", "TokenValue", "StreamUrl")
_SHELL = "SSM-SessionManagerRunShell"


class Ssm:
    """The operations of Systems Manager."""

    def __init__(
        self,
        gateway: GatewayClient,
        faults: Faults,
        managed: ManagedInstances,
        sagemaker: SageMaker,
        enforcement: Enforcement,
        *,
        spaces: SpaceSessions,
        roles: Roles,
    ) -> None:
        self._gateway = gateway
        self._faults = faults
        self._managed = managed
        self._sagemaker = sagemaker
        self._enforcement = enforcement
        self._spaces = spaces
        self._roles = roles
        self._started: dict[str, dict[str, Any]] = {}
        self._regions: dict[str, str] = {}
        self._owners: dict[str, str] = {}
        self.operations = {
            "StartSession": self._start,
            "ResumeSession": self._resume,
            "TerminateSession": self._terminate,
            "DescribeSessions": self._sessions,
            "DescribeInstanceInformation": self._information,
            "GetConnectionStatus": self._status,
        }

    def owner_tags(self, arn: str) -> dict[str, str]:
        """The tag that Systems Manager gives a session: the user id of its starter.

        Source: Systems Manager User Guide, "Allow a user to end only sessions they started".
        """
        owner = self._owners.get(arn.rpartition("/")[2])
        return {"aws:ssmmessages:session-id": owner} if owner else {}

    def end_sessions(self, restarted: Collection[str] = ()) -> None:
        """End the sessions whose target is gone or was just restarted."""
        if not self._started:  # then a test may run without a gateway
            return
        for session in self._ask("list").get("sessions", []):
            target, region = session["target"], self._regions.get(session["id"])
            if region and (target in restarted or not self._is_there(region, target)):
                self._ask("terminate", session=session["id"])

    def forget(self, targets: list[str]) -> None:
        """Stop what the gateway runs for terminated instances."""
        with contextlib.suppress(GatewayError):  # a test may run without a gateway
            self._gateway.ask("forget-instances", targets=targets)

    def _ask(self, op: str, **request: object) -> dict[str, Any]:
        try:
            return self._gateway.ask(op, **request)
        except GatewayError as error:
            raise AwsError("InternalServerError", str(error), 500) from error

    def _start(self, call: Call) -> dict[str, Any]:
        target = call.params["Target"]
        document = call.params.get("DocumentName", _SHELL)
        given = documents.parameters(document, call.params.get("Parameters", {}))
        if document in self._faults["deny_documents"]:
            # The ARN of a document that AWS owns has no account.
            arn = f"arn:{call.partition}:ssm:{call.region}::document/{document}"
            raise denial.refusal(call, where=arn)
        if not self._connected(call, target):
            raise AwsError("TargetNotConnected", f"{target} is not connected.")
        version = self._faults["agent_version"]
        if document == documents.REMOTE_HOST and _version(version) < _REMOTE_HOST_SINCE:
            message = (
                "The version of the SSM agent installed on this instance doesn't support port "
                "forwarding to remote hosts. Install the latest version of the SSM agent to use "
                "port forwarding sessions to remote hosts."
            )
            raise AwsError("BadRequest", message)
        answer = self._ask(
            "start",
            target=target,
            document=document,
            parameters=given,
            agent_version=version,
            **({"dropped": True} if self._dropped(call, target, given) else {}),
        )
        if "error" in answer:
            raise _gateways(answer)
        self._regions[answer["SessionId"]] = call.region
        if call.identity:
            self._owners[answer["SessionId"]] = self._roles.user_id(call.identity)
        self._started[answer["SessionId"]] = {
            "SessionId": answer["SessionId"],
            "Target": target,
            "StartDate": round(time.time(), 3),
            "DocumentName": document,
            "Owner": call.caller,
            "Reason": call.params.get("Reason", ""),
        }
        return {name: answer[name] for name in _ANSWER}

    def _dropped(self, call: Call, target: str, given: dict[str, Any]) -> bool:
        """Whether the records drop what the agent would send to the container."""
        host, port = (given.get(name, [""])[0] for name in ("host", "portNumber"))
        if not host or not port.isdecimal():
            return False
        return self._enforcement.dropped(call.region, target, host, int(port))

    def _check_owner(self, call: Call) -> None:
        """Sessions to spaces are the service's own: no caller may touch them (assumed)."""
        if self._spaces.has(call.params["SessionId"]):
            raise denial.refusal(call)

    def _resume(self, call: Call) -> dict[str, Any]:
        self._check_owner(call)
        answer = self._ask("resume", session=call.params["SessionId"])
        if "error" in answer:
            raise _gateways(answer)
        return {name: answer[name] for name in _ANSWER}

    def _terminate(self, call: Call) -> dict[str, Any]:
        self._check_owner(call)
        session = call.params["SessionId"]
        # AWS answers with the id even if there is no such session.
        self._ask("terminate", session=session)
        return {"SessionId": session}

    def _sessions(self, call: Call) -> dict[str, Any]:
        open_now = {session["id"]: session for session in self._ask("list").get("sessions", [])}
        active = call.params["State"] == "Active"
        found = [
            {**session, "Status": "Connected" if active else "Terminated"}
            for session in reversed(self._started.values())
            if (session["SessionId"] in open_now) == active
        ]
        for wanted in call.params.get("Filters", []):
            found = [session for session in found if _passes(session, wanted)]
        return _page("Sessions", found, call.params, 50)

    def _information(self, call: Call) -> dict[str, Any]:
        lines = self._managed.lines(call.region, call.params)
        return _page("InstanceInformationList", lines, call.params, 10)

    def _status(self, call: Call) -> dict[str, Any]:
        target = call.params["Target"]
        connected = self._connected(call, target)
        return {"Target": target, "Status": "connected" if connected else "notconnected"}

    def _connected(self, call: Call, target: str) -> bool:
        if target.startswith(clusters.TARGET):
            return self._is_there(call.region, target) and self._has_agent(target)
        training = _TRAINING.fullmatch(target)
        if training is None:
            return self._managed.online(call.region, target)
        return (
            self._debugged(call.region, training["job"], int(training["node"]))
            and self._agent_may(call, training["job"])
            and self._has_agent(target)
        )

    def _has_agent(self, target: str) -> bool:
        return bool(self._ask("agent", target=target).get("connected"))

    def _agent_may(self, call: Call, job: str) -> bool:
        """Whether the job's role lets the agent connect to Systems Manager."""
        role = self._sagemaker.find(job, call.region).request["RoleArn"]
        return all(
            self._roles.decide(call, role, action, "*").outcome == ALLOWED
            for action in AGENT_ACTIONS
        )

    def _is_there(self, region: str, target: str) -> bool:
        """Whether the target runs, even if its agent is not connected."""
        if target.startswith(clusters.TARGET):
            return self._sagemaker.clusters.accepts_sessions(region, target)
        training = _TRAINING.fullmatch(target)
        if training:
            return self._debugged(region, training["job"], int(training["node"]))
        return self._managed.runs(region, target)

    def _debugged(self, region: str, name: str, node: int) -> bool:
        """Whether a training container runs an agent: RemoteDebug is on and the job trains."""
        try:
            job = self._sagemaker.find(name, region)
        except KeyError:
            return False
        wanted = job.request.get("RemoteDebugConfig", {}).get("EnableRemoteDebug", False)
        return bool(wanted) and job.secondary == "Training" and node <= job.nodes


def _gateways(answer: dict[str, Any]) -> AwsError:
    """Turn an error of the gateway into one of Systems Manager."""
    code, message = str(answer["error"]), str(answer.get("message", ""))
    if code == "DoesNotExistException":
        return AwsError(code, message or "Session does not exist")
    if code.isalpha() and not code.startswith("Internal"):
        return AwsError(code, message or code)
    return AwsError("InternalServerError", message or code, 500)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in text.split("."))


def _passes(session: dict[str, Any], wanted: dict[str, str]) -> bool:
    key, value = wanted["key"], wanted["value"]
    return key not in {"Target", "Owner", "Status", "SessionId"} or session[key] == value


def _page(
    member: str, found: list[dict[str, Any]], params: dict[str, Any], default: int
) -> dict[str, Any]:
    invalid = AwsError("InvalidNextToken", "The specified token isn't valid.")
    size = params.get("MaxResults", default)
    shown, token = page_tokens.page(found, params.get("NextToken"), size, invalid)
    return {member: shown, **({"NextToken": token} if token else {})}

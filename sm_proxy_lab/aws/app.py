"""The AWS API without HTTP: one call in, one reply out."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws import kms, mfa, models, pricing, validation
from sm_proxy_lab.aws.autoscaling.service import AutoScaling
from sm_proxy_lab.aws.cloudformation.service import CloudFormation
from sm_proxy_lab.aws.codebuild.service import CodeBuild
from sm_proxy_lab.aws.connect_endpoints import ConnectEndpoints
from sm_proxy_lab.aws.ecr.service import Ecr
from sm_proxy_lab.aws.faults import Faults
from sm_proxy_lab.aws.http import query_signature
from sm_proxy_lab.aws.http.errors import AwsError, Reply, json_reply, render
from sm_proxy_lab.aws.http.request import read_json
from sm_proxy_lab.aws.iam import resource_tags, sizes
from sm_proxy_lab.aws.iam.authorization import Authorization
from sm_proxy_lab.aws.iam.principals import Principals
from sm_proxy_lab.aws.iam.roles import Roles
from sm_proxy_lab.aws.iam.sts import Sts
from sm_proxy_lab.aws.instance_access import InstanceAccess
from sm_proxy_lab.aws.logs.service import Logs
from sm_proxy_lab.aws.logs.store import LogStore
from sm_proxy_lab.aws.s3 import access as s3_access
from sm_proxy_lab.aws.sagemaker.admission import Admission
from sm_proxy_lab.aws.sagemaker.service import SageMaker
from sm_proxy_lab.aws.sagemaker.studio.service import Studio
from sm_proxy_lab.aws.ssm.agent_roles import AgentRoles
from sm_proxy_lab.aws.ssm.instances import AGENT_START_S, ManagedInstances
from sm_proxy_lab.aws.ssm.service import Ssm
from sm_proxy_lab.aws.vpc import (
    corrections,
    dependencies,
    offers,
    prerequisites,
    service_interfaces,
)
from sm_proxy_lab.aws.vpc.interfaces import Interfaces

if TYPE_CHECKING:
    from sm_proxy_lab.aws.call_log import CallLog
    from sm_proxy_lab.aws.gateway_client import GatewayClient
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.moto_app import Moto
    from sm_proxy_lab.aws.vpc.enforcement import Enforcement

# Each run uses these. The models of the others are loaded when they are first called.
_WARM = ("sagemaker", "logs", "ssm", "kms")

Operation = Callable[["Call"], "dict[str, Any] | Reply | None"]


class AwsApp:
    """All services behind one endpoint."""

    def __init__(
        self,
        *,
        moto: Moto,
        gateway: GatewayClient,
        calls: CallLog,
        emit: Callable[..., None],
        latency_s: float,
        enforcement: Enforcement,
        empty: bool = False,
    ) -> None:
        self._moto = moto
        self._mfa = mfa.Mfa()
        self._calls = calls
        self._latency_s = latency_s
        self.faults = Faults()
        self.gateway = gateway
        self.ecr = Ecr()
        self.roles = Roles(moto, has_job_role=not empty)
        self.principals = Principals()
        admission = Admission(self.roles, self.faults, self.principals)
        self.sagemaker = SageMaker(emit, admission)
        self.studio = Studio(self.sagemaker.tags, self.faults, gateway, emit)
        self._authorization = Authorization(self.roles, self._tags)
        sts = Sts(self.roles, self.principals, self._authorization)
        self.logs = Logs(LogStore(), self.faults)
        self.enforcement = enforcement
        self.interfaces = Interfaces(every_vpc=empty)
        managed = ManagedInstances(
            self.faults,
            moto.instances,
            AgentRoles(self.roles, enforcement).connects if empty else enforcement.agent_reaches,
            start_s=AGENT_START_S * empty,
        )
        self.ssm = Ssm(
            *(gateway, self.faults, managed, self.sagemaker, enforcement),
            spaces=self.studio.sessions,
            roles=self.roles,
        )
        self.connect_endpoints = ConnectEndpoints(self._admit_tunnel)
        self.autoscaling = AutoScaling(self)
        access = InstanceAccess(gateway, self.faults, moto)
        self.codebuild = CodeBuild(self.answer, self.principals, self.roles, self.faults)
        self._operations: dict[str, dict[str, Operation]] = {
            "sagemaker": {**self.sagemaker.operations, **self.studio.operations},
            "logs": dict(self.logs.operations),
            "ssm": dict(self.ssm.operations),
            "kms": {"GenerateDataKey": kms.generate, "Decrypt": kms.decrypt},
            "ecr": dict(self.ecr.operations),
            "pricing": {"GetProducts": pricing.get_products},
            "sts": dict(sts.operations),
            "iam": dict(self.roles.operations),
            "ec2-instance-connect": dict(access.connect),
            "cloudformation": dict(CloudFormation(self, self.faults).operations),
            "autoscaling": dict(self.autoscaling.operations),
            "codebuild": dict(self.codebuild.operations),
            "ec2": {**access.ec2, **self.connect_endpoints.ec2, **offers.Offers(moto).ec2},
        }

    def warm(self) -> None:
        """Load what the first calls need."""
        with models.read_once():
            for service in _WARM:
                for operation in self._operations[service]:
                    if operation not in self.studio.operations:  # most runs use none of them
                        validation.warm(service, operation)
            self._moto.warm()

    def answer(self, call: Call) -> Reply:
        """Answer an API call, with the latency and the faults that are set, and record it."""
        started = time.time()
        self._travel(call)
        call.identity = self.principals.of(call)
        error: AwsError | None = None
        try:
            reply = self._serve(call)
        except AwsError as refusal:
            error = refusal
        except Exception:  # noqa: BLE001 - with a bug of the lab, the client still gets an answer
            traceback.print_exc(file=sys.stderr)
            error = AwsError("InternalFailure", "The lab failed on this request.", 500)
        if error:
            reply = render(call, error)
        code = error.code if error else None
        self._calls.add(
            call, started=started, status=reply.status, size=len(reply.body), error=code
        )
        self._travel(call)
        return reply

    def open_tunnel(self, call: Call) -> dict[str, Any] | Reply:
        """Check a request for a tunnel of an Instance Connect Endpoint, and record it.

        Returns:
            What the gateway has to know; or the refusal.
        """
        started = time.time()
        call.identity = self.principals.of(call)
        try:
            request = self.connect_endpoints.open_tunnel(call)
        except AwsError as error:
            reply = render(call, error)
            size = len(reply.body)
            self._calls.add(call, started=started, status=reply.status, size=size, error=error.code)
            return reply
        self._calls.add(call, started=started, status=101, size=0, error=None)
        return request

    def _admit_tunnel(self, call: Call) -> None:
        self.faults.check(call)
        query_signature.check(call, self.principals.keys(call))
        self._authorization.check(call)

    def _tags(self, call: Call, arn: str) -> dict[str, str]:
        """The tags of a resource, for the conditions of policies."""
        _, _, service, region, owner, name = arn.split(":", 5) if ":" in arn else [""] * 6
        if service == "sagemaker":
            return self.sagemaker.tags.of(arn)
        if service == "ssm":
            return self.ssm.owner_tags(arn)
        if service == "ecr":
            return self.ecr.repositories.labels(owner, region, name.partition("/")[2])
        return resource_tags.of(call, arn)

    def _travel(self, call: Call) -> None:
        if self._latency_s and not call.via:
            time.sleep(self._latency_s)

    def _serve(self, call: Call) -> Reply:
        if call.protocol == "json":
            read_json(call)
        if self.ecr.serves(call):
            return self.ecr.serve(call)
        self.faults.check(call)
        self._mfa.check(call)
        if call.service == "s3":
            keys = self.principals.keys(call)
            s3_access.check(call, keys, self._authorization, self.faults)
        else:
            self._authorization.check(call)
        if call.service == "iam":
            self.roles.prepare(call.partition)
            sizes.check(call, self.roles)
        if call.service in self._operations and call.protocol == "json":
            validation.check(call)
        operation = self._operations.get(call.service, {}).get(call.operation)
        if operation is None:
            return self._by_moto(call)
        result = operation(call)
        if isinstance(result, Reply):
            return result
        return self._moto(call) if result is None else json_reply(call, result)

    def _by_moto(self, call: Call) -> Reply:
        """Let moto answer; apply what it has changed before the reply is sent."""
        if call.service != "ec2" or call.operation.startswith("Describe"):
            return self._moto(call)
        dependencies.check(call)
        quota = self.faults["quotas"].get("elastic-ip", prerequisites.ADDRESSES)
        prerequisites.check(call, quota)
        offers.check(call)
        corrections.before(call)
        reply = self._moto(call)
        corrections.after(call)
        service_interfaces.show(call)
        self.enforcement.update()
        self.ssm.end_sessions(_rebooted(call))
        if call.operation == "TerminateInstances":
            self.ssm.forget(list(map(str, call.params.values())))
        self.autoscaling.notice(call)
        return reply


def _rebooted(call: Call) -> set[str]:
    """The instances that a call restarts."""
    return set(map(str, call.params.values())) if call.operation == "RebootInstances" else set()

"""Checks of AWS from the laptop: region, endpoint, clock, credentials, and each IAM action."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from sm_proxy.aws import caller, errors
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.clock import SIGNATURE_S
from sm_proxy.aws.errors import ServiceError
from sm_proxy.doctor.check import Check, Context, DoubtfulCheck, SkipCheck, Stage
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import kinds
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.log_streams import Streams
from sm_proxy.settings import Settings
from sm_proxy.settings.route_names import AUTO
from sm_proxy.settings.schema import is_region

_GROUP: Final = "/aws/sagemaker/TrainingJobs"
_NO_SUCH_NAME: Final = "sm-proxy-doctor-permission-check"


def make_client(settings: Settings) -> Aws:
    """A client for the checks; it asks for a code only at a terminal, so that no check hangs."""
    return Aws(settings.profile, settings.region, terminal=False)


def region(context: Context) -> str:
    """A region is set and looks valid."""
    name = context.aws.region
    if not name:
        raise SmProxyError("bad-setting", "no AWS region is set", "Set AWS_REGION or use --region.")
    if not is_region(name):
        raise SmProxyError("bad-setting", f"{name!r} is not an AWS region", "Correct AWS_REGION.")
    return name


def endpoint(context: Context) -> str:
    """SageMaker's endpoint answers, through the configured proxy and TLS."""
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - as the calls do

    try:
        url = context.aws.endpoint("sagemaker")
    except SmProxyError as error:  # the credentials check explains it
        raise DoubtfulCheck(f"the AWS configuration names no endpoint: {error.message}") from None
    network = context.aws.network
    network.proxy_for(url)  # refuses an unusable proxy
    session = URLLib3Session(
        verify=network.ca_bundle,  # type: ignore[arg-type] # a path is taken too
        proxies=get_environ_proxies(url),
        timeout=6,
    )
    sent = time.time()
    try:
        answer = session.send(AWSRequest("GET", url).prepare())
    except (BotoCoreError, OSError, ValueError) as error:
        failure = errors.from_botocore(error, f"reaching {url}", None)
        raise failure or SmProxyError("network", f"{url}: {error}", "Check the endpoint.") from None
    finally:
        session.close()
    if date := answer.headers.get("Date"):
        context.date_skew_s = parsedate_to_datetime(date).timestamp() - (sent + time.time()) / 2
    return url


def clock(context: Context) -> str:
    """Our clock agrees with the Date of the endpoint's answer."""
    if context.date_skew_s is None:
        raise SkipCheck("the endpoint's answer had no Date header")
    off = abs(context.date_skew_s)
    if off > SIGNATURE_S:
        raise SmProxyError(
            "no-credentials",
            f"this machine's clock is {off / 60:.0f} min "
            f"{'behind' if context.date_skew_s > 0 else 'ahead'}: AWS refuses its signatures",
            "Set the clock, for example with: timedatectl set-ntp true",
        )
    return f"within {max(1, round(off))} s of AWS's"


def credentials(context: Context) -> str:
    """There are credentials, and AWS accepts them."""
    found = caller.identify(context.aws)
    if found.arn is None:
        raise SkipCheck(
            f"found, but STS does not say whose they are, which is harmless: {found.unknown}"
        )
    return found.arn


def _action(service: str, operation: str, **parameters: Any) -> Check:
    """A check that tries one read-only call."""

    def check(context: Context) -> str:
        given = {
            name: value(context) if callable(value) else value for name, value in parameters.items()
        }
        try:
            context.aws.call(service, operation, **given)
        except ServiceError as error:
            # An answer such as "not found" also shows that the call is allowed.
            return f"allowed ({error.error})"
        return "allowed"

    return check


def _optional(check: Check, needed: Callable[[Context], bool] = lambda _: False) -> Check:
    """The check of an action that is optional unless `needed` says otherwise."""

    def tried(context: Context) -> str:
        try:
            return check(context)
        except SmProxyError as error:
            if error.code != "access-denied" or needed(context):
                raise
            raise SkipCheck(f"denied, but not needed: {error.message}") from None

    return tried


def describe_call_stage(target: Target | None) -> Stage:
    """The first call of a search for a job: of its kind, or of training jobs without one.

    The check `job` makes the calls of the other kinds if there is no training job of that name.
    """
    kind = (target and target.kind) or kinds.ORDER[0]
    operation, parameters = kinds.of(kind).describe_call(target.job if target else _NO_SUCH_NAME)
    return ((f"sagemaker:{operation}", _action("sagemaker", operation, **parameters)),)


def _streams(context: Context) -> Streams | None:
    if context.job is None or context.target is None:
        return None
    return kinds.of(context.job.kind).streams(context.job, context.target.node)


def _group(context: Context) -> str:
    """The log group of the job's own kind."""
    found = _streams(context)
    return found.group if found else _GROUP


def _stream(context: Context) -> str:
    """A missing stream that would belong to the job: a policy may allow only the job's own."""
    found = _streams(context)
    return f"{found.prefix if found else ''}{_NO_SUCH_NAME}"


def _may_use_remote_debug(context: Context) -> bool:
    """Whether RemoteDebug, which needs nothing of EC2, leads to the job or is the forced route."""
    if context.settings.route == AUTO:
        return context.job is not None and context.job.remote_debug
    return context.settings.route == "remote-debug"


LOGS: Final[Stage] = (
    (
        "logs:DescribeLogStreams",
        _action("logs", "DescribeLogStreams", logGroupName=_group, logStreamNamePrefix=_stream),
    ),
    (
        "logs:GetLogEvents",
        _action("logs", "GetLogEvents", logGroupName=_group, logStreamName=_stream, limit=1),
    ),
)
OTHERS: Final[Stage] = (
    (
        "sagemaker:ListTrainingJobs",
        _optional(_action("sagemaker", "ListTrainingJobs", MaxResults=1)),
    ),
    (
        "ec2:DescribeSubnets",
        _optional(
            _action("ec2", "DescribeSubnets", MaxResults=5),
            needed=lambda context: not _may_use_remote_debug(context),
        ),
    ),
    (
        "ec2:DescribeInstances",
        _optional(
            _action("ec2", "DescribeInstances", MaxResults=5),
            needed=lambda context: (
                not context.settings.bastion
                and not _may_use_remote_debug(context)
                and context.settings.route in {AUTO, "bastion", "bastion-ssh"}
            ),
        ),
    ),
    (
        "ssm:DescribeInstanceInformation",
        _optional(_action("ssm", "DescribeInstanceInformation", MaxResults=5)),
    ),
)
"""The check `tunnel` tries StartSession: only a session shows whether it is allowed."""


def _call(context: Context, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
    try:
        return context.aws.call(service, operation, **parameters)
    except ServiceError as error:
        raise error.as_failure() from None

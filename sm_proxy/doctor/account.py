"""AWS from the laptop: endpoint, clock, credentials, region, and each IAM action we need."""

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
from sm_proxy.doctor.check import Check, Context, SkipCheck, Stage
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import kinds
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.log_streams import Streams
from sm_proxy.settings import Settings
from sm_proxy.settings.schema import is_region

_GROUP: Final = "/aws/sagemaker/TrainingJobs"
_NOBODY: Final = "sm-proxy-doctor-asks-whether-it-may"


def make_client(settings: Settings) -> Aws:
    """For the calls; a code is asked for at a terminal only, for a check must not hang on it."""
    return Aws(settings.profile, settings.region, terminal=False)


def region(context: Context) -> str:
    """A region is set and looks like one."""
    name = context.aws.region
    if not name:
        raise SmProxyError("bad-setting", "no AWS region is set", "Set AWS_REGION or use --region.")
    if not is_region(name):
        raise SmProxyError("bad-setting", f"{name!r} is no AWS region", "Mend AWS_REGION.")
    return name


def endpoint(context: Context) -> str:
    """Something answers at SageMaker's endpoint, through proxy and TLS as configured."""
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - the same door as the calls use

    try:
        url = context.aws.endpoint("sagemaker")
    except SmProxyError as error:  # a profile that is not there, a torn file: see credentials
        raise SkipCheck(f"the AWS configuration tells none: {error.message}") from None
    network = context.aws.network
    network.proxy_for(url)  # one that cannot serve is refused
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
    """Our clock against the Date of that answer."""
    if context.date_skew_s is None:
        raise SkipCheck("the answer had no date")
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
    """There are credentials, and AWS knows them."""
    found = caller.identify(context.aws)
    if found.arn is None:
        raise SkipCheck(f"they are there; whose, STS does not say, nor need it: {found.unknown}")
    return found.arn


def _action(service: str, operation: str, **parameters: Any) -> Check:
    """A check that tries one call which changes nothing."""

    def check(context: Context) -> str:
        given = {
            name: value(context) if callable(value) else value for name, value in parameters.items()
        }
        try:
            context.aws.call(service, operation, **given)
        except ServiceError as error:
            # There is no such thing, then: to be told so takes the permission.
            return f"allowed ({error.error})"
        return "allowed"

    return check


def _optional(check: Check, needed: Callable[[Context], bool] = lambda _: False) -> Check:
    """The same for an action that we can do without, at least where it is not `needed`."""

    def tried(context: Context) -> str:
        try:
            return check(context)
        except SmProxyError as error:
            if error.code != "access-denied" or needed(context):
                raise
            raise SkipCheck(f"not needed, and denied: {error.message}") from None

    return tried


def describe_call_stage(target: Target | None) -> Stage:
    """The call that a search for a job begins with: of training jobs, unless the name has a kind.

    What the other kinds take is asked where there is no training job of that name: by the search.
    """
    kind = (target and target.kind) or kinds.ORDER[0]
    operation, parameters = kinds.of(kind).describe_call(target.job if target else _NOBODY)
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
    """A stream that is not there, and would be the job's own: policies may name no others."""
    found = _streams(context)
    return f"{found.prefix if found else ''}{_NOBODY}"


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
    ("ec2:DescribeSubnets", _action("ec2", "DescribeSubnets", MaxResults=5)),
    (
        "ec2:DescribeInstances",
        _optional(
            _action("ec2", "DescribeInstances", MaxResults=5),
            needed=lambda context: not context.settings.bastion,
        ),
    ),
    (
        "ssm:DescribeInstanceInformation",
        _optional(_action("ssm", "DescribeInstanceInformation", MaxResults=5)),
    ),
)
"""StartSession is tried by the tunnel: nothing less than a session tells."""


def _call(context: Context, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
    try:
        return context.aws.call(service, operation, **parameters)
    except ServiceError as error:
        raise error.as_failure() from None

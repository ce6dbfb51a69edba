"""AWS from the laptop: endpoint, clock, credentials, region, and each IAM action we need."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from sm_proxy.aws import errors
from sm_proxy.aws.errors import ServiceError
from sm_proxy.doctor.findings import Check, Patient, SkipCheck
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import hostname

SKEW_LIMIT_S: Final = 300
"""A signature is good for five minutes (AWS General Reference, Signature Version 4)."""
_REGION: Final = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d+")
_GROUP: Final = "/aws/sagemaker/TrainingJobs"
_NOBODY: Final = "sm-proxy-doctor-asks-whether-it-may"


def region(patient: Patient) -> str:
    """A region is set and looks like one."""
    name = patient.aws.region
    if not name:
        raise SmProxyError("bad-setting", "no AWS region is set", "Set AWS_REGION or use --region.")
    if not _REGION.fullmatch(name):
        raise SmProxyError("bad-setting", f"{name!r} is no AWS region", "Mend AWS_REGION.")
    return name


def endpoint(patient: Patient) -> str:
    """Something answers at SageMaker's endpoint, through proxy and TLS as configured."""
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - the same door as the calls use

    url = patient.aws.endpoint("sagemaker")
    session = URLLib3Session(
        verify=patient.aws.ca_bundle,  # type: ignore[arg-type] # a path is taken too
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
        patient.date_skew_s = parsedate_to_datetime(date).timestamp() - (sent + time.time()) / 2
    return url


def clock(patient: Patient) -> str:
    """Our clock against the Date of that answer."""
    if patient.date_skew_s is None:
        raise SkipCheck("the answer had no date")
    off = abs(patient.date_skew_s)
    if off > SKEW_LIMIT_S:
        raise SmProxyError(
            "no-credentials",
            f"this machine's clock is {off / 60:.0f} min "
            f"{'behind' if patient.date_skew_s > 0 else 'ahead'}: AWS refuses its signatures",
            "Set the clock, for example with: timedatectl set-ntp true",
        )
    return f"within {max(1, round(off))} s of AWS's"


def credentials(patient: Patient) -> str:
    """Who we are."""
    answer = _call(patient, "sts", "GetCallerIdentity")
    return str(answer.get("Arn", "?"))


def action(service: str, operation: str, **parameters: Any) -> Check:
    """A check that tries one call which changes nothing."""

    def check(patient: Patient) -> str:
        given = {
            name: value(patient) if callable(value) else value for name, value in parameters.items()
        }
        try:
            patient.aws.call(service, operation, **given)
        except ServiceError as error:
            # There is no such thing, then: to be told so takes the permission.
            return f"allowed ({error.error})"
        return "allowed"

    return check


def optional(check: Check) -> Check:
    """The same for an action that we can do without."""

    def tried(patient: Patient) -> str:
        try:
            return check(patient)
        except SmProxyError as error:
            if error.code != "access-denied":
                raise
            raise SkipCheck(f"not needed, and denied: {error.message}") from None

    return tried


def _job_name(patient: Patient) -> str:
    """The job's name where it is one; a legal one otherwise."""
    if patient.host is None:
        return _NOBODY
    return hostname.parse(patient.host, patient.settings.prefix).job


_NAME: Callable[[Patient], str] = _job_name

ACTIONS: Final = (
    (
        "sagemaker:DescribeTrainingJob",
        action("sagemaker", "DescribeTrainingJob", TrainingJobName=_NAME),
    ),
    (
        "sagemaker:ListTrainingJobs",
        optional(action("sagemaker", "ListTrainingJobs", MaxResults=1)),
    ),
    (
        "logs:DescribeLogStreams",
        action("logs", "DescribeLogStreams", logGroupName=_GROUP, limit=1),
    ),
    (
        "logs:GetLogEvents",
        action("logs", "GetLogEvents", logGroupName=_GROUP, logStreamName=_NOBODY, limit=1),
    ),
    ("ec2:DescribeSubnets", action("ec2", "DescribeSubnets", MaxResults=5)),
    ("ec2:DescribeInstances", action("ec2", "DescribeInstances", MaxResults=5)),
    (
        "ssm:DescribeInstanceInformation",
        optional(action("ssm", "DescribeInstanceInformation", MaxResults=5)),
    ),
)
"""StartSession is tried by the tunnel: nothing less than a session tells."""


def _call(patient: Patient, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
    try:
        return patient.aws.call(service, operation, **parameters)
    except ServiceError as error:
        raise error.as_failure() from None

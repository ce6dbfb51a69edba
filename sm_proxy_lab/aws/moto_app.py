"""Moto in this process. Where its messages differ from AWS's, we replace them."""

from __future__ import annotations

import os
import re
import sys
import threading
import traceback
import warnings
from dataclasses import dataclass
from datetime import timezone
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws import instance_types, wording
from sm_proxy_lab.aws.http.call import ACCOUNT, Call
from sm_proxy_lab.aws.http.errors import AwsError, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

# Moto's host names for services, if they differ from the signing name.
_HOSTS = {
    "sagemaker": "api.sagemaker.{region}",
    "monitoring": "monitoring.{region}",
    "s3": "s3.{region}",
    "iam": "iam",
}
_WARM = (("ec2", "DescribeVpcs"), ("sts", "GetCallerIdentity"))


@dataclass(frozen=True)
class Instance:
    """A running EC2 instance.

    Attributes:
        instance_id: its id.
        address: its private address.
        launched: when, in seconds since 1970.
    """

    instance_id: str
    address: str
    launched: float


LOCK: Final = threading.RLock()
"""Hold this lock while you call moto or read its backends: they are not thread-safe."""


class Moto:
    """Hands calls to moto's backends, one at a time."""

    def __init__(self) -> None:
        # Read by moto when it is imported.
        os.environ["MOTO_ALLOW_NONEXISTENT_REGION"] = "true"
        os.environ["MOTO_ACCOUNT_ID"] = ACCOUNT
        # Loading a thousand AMIs takes 0.2 s per region, and nothing here uses them.
        os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
        # Moto makes boto3 sessions while it is imported: they must not ask for metadata.
        os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
        warnings.filterwarnings("ignore", module=r"moto\b.*")
        warnings.filterwarnings("ignore", message=r".*AMI.*", category=PendingDeprecationWarning)

    def warm(self) -> None:
        """Load what the first calls of each run need. This takes about a second."""
        with instance_types.read_when_asked():
            for service, operation in _WARM:
                form = f"Action={operation}".encode()
                kind = {"content-type": "application/x-www-form-urlencoded"}
                call = Call("POST", "/", "", kind, form, service, operation, protocol="query")
                self(call)
        import moto.sagemaker.responses  # noqa: PLC0415
        import moto.ssm.responses  # noqa: F401, PLC0415

    def __call__(self, call: Call) -> Reply:
        """Moto's answer to a call.

        Raises:
            AwsError: Moto does not have this operation, or failed on it.
        """
        url = _url(call)
        execute = _endpoint(url)
        if execute is None:
            raise AwsError(
                "UnknownService", f"The lab does not have the service {call.service}.", 501
            )
        from moto.core.request import Request  # noqa: PLC0415

        request = Request.from_primitives(call.method, url, _headers(call), call.body)
        with LOCK:
            status, headers, body = _run(execute, request, call)
        dropped = {"status", "server", "date", "connection"}
        if call.method != "HEAD":  # there it is the length of the object
            dropped.add("content-length")
        content = body.encode() if isinstance(body, str) else bytes(body or b"")
        kept = {name: str(value) for name, value in headers.items() if name.lower() not in dropped}
        kept.setdefault("Content-Type", "application/x-amz-json-1.1")
        reply = Reply(int(status), content, kept)
        return wording.amend(call, reply)

    def instances(self, region: str) -> list[Instance]:
        """The running instances of a region, sorted by id."""
        from moto.ec2.models import ec2_backends  # noqa: PLC0415

        with LOCK:
            running: list[Any] = [
                instance
                for instance in ec2_backends[ACCOUNT][region].all_instances()
                if instance.state == "running"
            ]
        found = [
            # Moto's time has no zone; it is UTC.
            Instance(
                instance.id,
                str(instance.private_ip),
                instance.launch_time.replace(tzinfo=timezone.utc).timestamp(),
            )
            for instance in running
        ]
        return sorted(found, key=lambda instance: instance.instance_id)


def _url(call: Call) -> str:
    host = _HOSTS.get(call.service, "{service}.{region}")
    host = host.format(service=call.service, region=call.region)
    query = f"?{call.query}" if call.query else ""
    return f"https://{host}.amazonaws.com{call.path}{query}"


def _headers(call: Call) -> dict[str, str]:
    return {name: value for name, value in call.headers.items() if name != "host"}


def _endpoint(url: str) -> Callable[..., Any] | None:
    """The function of moto that answers at `url`, as moto's own stub finds it."""
    from moto import backend_index, backends  # noqa: PLC0415

    clean = url.partition("?")[0]
    for service, pattern in backend_index.backend_url_patterns:
        if not pattern.match(clean):
            continue
        get_backend: Any = backends.get_backend  # typed for literal names only
        try:
            regions = get_backend(service)[ACCOUNT]
        except ImportError:  # a part of moto that is not installed
            return None
        backend = regions["us-east-1" if "us-east-1" in regions else "aws"]
        for path, execute in backend.urls.items():
            if re.match(path, clean):
                return execute  # type: ignore[no-any-return]
    return None


def _run(execute: Callable[..., Any], request: Any, call: Call) -> tuple[int, dict[str, Any], Any]:
    from werkzeug.exceptions import HTTPException  # noqa: PLC0415

    try:
        status, headers, body = execute(request, request.raw_url, request.headers)
    except HTTPException as error:
        return error.code or 500, dict(error.get_headers()), error.get_body()
    except NotImplementedError:
        raise unknown_operation(call) from None
    except Exception:  # noqa: BLE001 - a bug in moto becomes an internal failure of the service
        traceback.print_exc(file=sys.stderr)
        raise AwsError("InternalFailure", "The lab's moto failed on this request.", 500) from None
    if status == 404 and not body and call.method != "HEAD":  # S3 has no such object
        raise unknown_operation(call)
    return status, headers, body


def unknown_operation(call: Call) -> AwsError:
    """Return the error for an operation that neither this endpoint nor moto has."""
    if call.protocol in {"query", "ec2"}:
        message = f"The action {call.operation} is not valid for this web service."
        return AwsError("InvalidAction", message)
    return AwsError("UnknownOperationException", f"The lab does not have {call.action}.")

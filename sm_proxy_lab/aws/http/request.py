"""Reads service, operation, region and access key from an HTTP request."""

from __future__ import annotations

import gzip
import json
import re
from urllib.parse import parse_qs, parse_qsl

from sm_proxy_lab.aws.http.call import Call
from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.http.s3_names import action as s3_action

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request")
# An unsigned request names no service, but the error must have the service's format. These two
# tables find the service by the prefix of X-Amz-Target and by the version of a query API.
_TARGETS = {
    "SageMaker": "sagemaker",
    "Logs": "logs",
    "AmazonSSM": "ssm",
    "TrentService": "kms",
    "AmazonEC2ContainerRegistry": "ecr",
    "AWSPriceListService": "pricing",
    "AWSEC2InstanceConnectService": "ec2-instance-connect",
    "CodeBuild": "codebuild",
}
_VERSIONS = {
    "2016-11-15": "ec2",
    "2011-06-15": "sts",
    "2010-05-08": "iam",
    "2010-05-15": "cloudformation",
    "2011-01-01": "autoscaling",
}


def parse(method: str, target: str, headers: dict[str, str], body: bytes) -> Call:
    """Read a request.

    Args:
        method: The HTTP method.
        target: The request line's path and query.
        headers: Header names in lower case.
        body: The whole body. `read_json` parses a JSON body later.
    """
    path, _, query = target.partition("?")
    call = Call(method, path or "/", query, headers, body)
    _read_credential(call)
    form = _form(call)
    amz_target = headers.get("x-amz-target", "")
    if amz_target:
        call.protocol = "json"
        call.operation = amz_target.rpartition(".")[2]
        prefix = amz_target.partition(".")[0].partition("_")[0]
        call.service = call.service or _TARGETS.get(prefix, prefix.lower())
    elif "Action" in form:
        call.service = call.service or _VERSIONS.get(form.get("Version", ""), "sts")
        call.protocol = "ec2" if call.service == "ec2" else "query"
        call.operation = form["Action"]
        call.params = {k: v for k, v in form.items() if k not in {"Action", "Version"}}
    else:
        call.service = call.service or "s3"
        call.protocol = "rest-xml" if call.service in {"s3", "route53"} else "rest-json"
        named = s3_action(method, call.path, query) if call.service == "s3" else None
        call.operation = named or f"{method} {call.path}"
    return call


def read_json(call: Call) -> None:
    """Fill `params` of a JSON call from its body.

    Raises:
        AwsError: The body is not a JSON object.
    """
    body = call.body
    if call.headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    try:
        params = json.loads(body or b"{}")
    except ValueError:
        params = None
    if not isinstance(params, dict):
        raise AwsError(
            "SerializationException", "Start of structure or map found where not expected."
        )
    call.params = params


def _read_credential(call: Call) -> None:
    text = call.headers.get("authorization", "")
    if not text and "X-Amz-Credential" in call.query:
        text = "Credential=" + parse_qs(call.query)["X-Amz-Credential"][0]
    found = _CREDENTIAL.search(text)
    if found:
        call.access_key, _, call.region, call.service = found.groups()


def _form(call: Call) -> dict[str, str]:
    if call.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(call.body.decode(errors="replace"), keep_blank_values=True))
    return dict(parse_qsl(call.query, keep_blank_values=True)) if "Action=" in call.query else {}

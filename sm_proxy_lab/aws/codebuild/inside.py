"""Calls that CodeBuild makes with the credentials of a build's role: they are recorded, too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from sm_proxy_lab.aws.http.call import Call
from sm_proxy_lab.aws.http.errors import AwsError, Reply
from sm_proxy_lab.aws.http.identity import Keys

VIA: Final = "codebuild"


class RoleClient:
    """Calls services as a role.

    Args:
        answer: `AwsApp.answer`.
        keys: the credentials of the role's session.
        region: where to call.
    """

    def __init__(self, answer: Callable[[Call], Reply], keys: Keys, region: str) -> None:
        self._answer = answer
        self.keys = keys
        self._region = region

    def logs(self, operation: str, **params: Any) -> None:
        """Call CloudWatch Logs.

        Raises:
            AwsError: it refused.
        """
        headers = {
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": f"Logs_20140328.{operation}",
        }
        call = self._call("POST", "/", "logs", operation)
        call.headers, call.body = {**call.headers, **headers}, json.dumps(params).encode()
        reply = self._answer(call)
        if reply.status != 200:
            told = json.loads(reply.body)
            message = told.get("message") or told.get("Message") or ""
            raise AwsError(str(told.get("__type")), message, reply.status)

    def get_object(self, bucket: str, key: str) -> bytes:
        """Read an object from S3.

        Raises:
            AwsError: S3 refused.
        """
        call = self._call("GET", f"/{bucket}/{quote(key)}", "s3", "GetObject")
        call.protocol = "rest-xml"
        reply = self._answer(call)
        if reply.status == 200:
            return reply.body
        text = reply.body.decode(errors="replace")
        code, message = (_element(text, name) for name in ("Code", "Message"))
        raise AwsError(code or "Unknown", message, reply.status)

    def _call(self, method: str, path: str, service: str, operation: str) -> Call:
        headers = {
            "x-amz-security-token": self.keys.token or "",
            # Moto takes a request without this for one of an anonymous caller.
            "authorization": f"AWS4-HMAC-SHA256 Credential={self.keys.access_key}/of/the/role",
        }
        call = Call(method, path, "", headers, b"", service, operation, self._region)
        call.access_key, call.via = self.keys.access_key, VIA
        return call


def _element(text: str, name: str) -> str:
    found = re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
    return found[1] if found else ""

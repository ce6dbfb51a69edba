"""Sources of credentials on loopback: Identity Center, STS, sign-in, metadata services."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.aws.local_service import LocalService

CONFIG = """
[profile team]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = research
region = eu-west-1
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-central-1
sso_registration_scopes = sso:account:access, other:scope
[profile legacy]
sso_start_url = https://old.awsapps.com/start
sso_region = eu-central-1
sso_account_id = 123456789012
sso_role_name = research
region = eu-west-1
[profile through]
role_arn = arn:aws:iam::123456789012:role/r
source_profile = team
region = eu-west-1
[profile keys]
aws_access_key_id = AKIAKEYS
aws_secret_access_key = secret
region = eu-west-1
"""
CODE = "ABCD-EFGH"
_CALLER = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/research/me</Arn>
<Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"""
_ASSUMED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>
<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
<Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""
_REFUSED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>
<Code>{0}</Code><Message>words</Message></Error></ErrorResponse>"""


class Portal(LocalService):
    """Plays these services; its attributes set the answers.

    Attributes:
        asked: every request: its path, and its body, or its query.
        refuses: by path the OAuth errors to answer with before anything else, one after the other.
        changes: by path the members of an answer to change, or to leave out (None).
        sts: the code of STS's refusal; empty for none.
        valid: the access tokens that are taken.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.refuses: dict[str, list[str]] = {}
        self.changes: dict[str, dict[str, Any]] = {}
        self.sts = ""
        self.valid: set[str] = set()
        portal = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = urlsplit(self.path).path
                if path == "/":
                    self._send(*portal.sts_answer(body.decode()), "text/xml")
                else:
                    status, answer = portal.answer(path, json.loads(body))
                    self._send(status, json.dumps(answer), "application/json")

            def do_PUT(self) -> None:
                self._send(200, "metadata-token", "text/plain")

            def do_GET(self) -> None:
                found = urlsplit(self.path)
                if found.path.endswith("/security-credentials/"):
                    self._send(200, "a-role", "text/plain")
                    return
                query = {name: values[0] for name, values in parse_qs(found.query).items()}
                query["authorization"] = self.headers.get("Authorization", "")
                query["token"] = self.headers.get("x-amz-sso_bearer_token", "")
                status, answer = portal.answer(found.path, query)
                self._send(status, json.dumps(answer), "application/json")

            def _send(self, status: int, text: str, kind: str) -> None:
                data = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)

    def answer(self, path: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked.append((path, request))
        if refused := self.refuses.get(path):
            return 400, {"__type": refused[0], "error": "x", "error_description": refused.pop(0)}
        if path.endswith("/security-credentials/a-role"):
            path = "/container"
        if path == "/federation/credentials" and request["token"] not in self.valid:
            return 401, {"__type": "UnauthorizedException", "message": "Session token not found"}
        found = {**self._answers()[path], **self.changes.get(path, {})}
        if path == "/token" and isinstance(found["accessToken"], str):
            self.valid.add(found["accessToken"])
        return 200, {name: value for name, value in found.items() if value is not None}

    def _answers(self) -> dict[str, dict[str, Any]]:
        number = sum(path == "/token" for path, _ in self.asked)
        uri = "https://device.example/"
        return {
            "/client/register": {
                "clientId": "client",
                "clientSecret": "client-secret",
                "clientSecretExpiresAt": int(time.time()) + 90 * 86400,
            },
            "/device_authorization": {
                "deviceCode": "device-code",
                "userCode": CODE,
                "verificationUri": uri,
                "verificationUriComplete": f"{uri}?user_code={CODE}",
                "expiresIn": 600,
                "interval": 1,
            },
            "/token": {
                "accessToken": f"access~{number}",
                "refreshToken": f"refresh~{number}",
                "expiresIn": 28800,
            },
            "/container": {
                "Code": "Success",
                "AccessKeyId": "ASIACONTAINER",
                "SecretAccessKey": "s",
                "Token": "t",
                "Expiration": "2999-01-01T00:00:00Z",
            },
            "/v1/token": {
                "accessToken": {
                    "accessKeyId": "ASIALOGIN2",
                    "secretAccessKey": "s",
                    "sessionToken": "t",
                },
                "tokenType": "aws_sigv4",
                "expiresIn": 900,
                "refreshToken": "refresh~login",
            },
            "/federation/credentials": {
                "roleCredentials": {
                    "accessKeyId": "ASIASSO",
                    "secretAccessKey": "role-secret",
                    "sessionToken": "role-token",
                    "expiration": int(time.time() + 3600) * 1000,
                }
            },
        }

    def sts_answer(self, body: str) -> tuple[int, str]:
        action = parse_qs(body)["Action"][0]
        self.asked.append((action, {}))
        if self.sts:
            return 403, _REFUSED.format(self.sts)
        if action == "GetCallerIdentity":
            return 200, _CALLER
        return 200, _ASSUMED.replace("AssumeRole", action)

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

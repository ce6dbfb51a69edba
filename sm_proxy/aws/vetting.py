"""Checks on every request and response between botocore and AWS, including nested calls.

They note secrets, so that we can redact them. They refuse a value that no header can carry before
the request, because the HTTP client would repeat it in its error. They recognise a response that is
not from AWS.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import botocore
from botocore.session import Session

from sm_proxy.aws import errors, network
from sm_proxy.aws.credentials import login_profile
from sm_proxy.errors import SmProxyError
from sm_proxy.local import secret_values

_SECRET_SERVICES: Final = frozenset({"kms", "signin", "ssm", "sso", "sso-oidc", "sts"})
"""Services whose responses hold secrets."""
_JSON: Final = frozenset({"json", "rest-json"})
_XML: Final = frozenset({"ec2", "query"})
_HEAD_BYTES: Final = 2000
_FAILURES: Final = 300
"""From this HTTP status on, a call has failed."""
_SERVER_ERRORS: Final = 500
"""From this HTTP status on, botocore may try again."""


@dataclass(frozen=True)
class Refusal:
    """A call that a service has refused.

    Attributes:
        action: service and operation, such as `sso:GetRoleCredentials`.
        words: the service's error code and message.
    """

    action: str
    words: str


class Vetting:
    """Checks the requests and responses of a session's clients.

    Args:
        session: the clients that it creates from now on are watched.
        explain: turns a failure to get credentials into our error.
    """

    def __init__(self, session: Session, explain: Callable[[Exception], SmProxyError]) -> None:
        self._session = session
        self._explain = explain
        self._latest = threading.local()
        for event, handler in (
            ("before-parameter-build", _keep_parameters),
            ("before-sign", self._vet_keys),
            ("before-send", self._vet_request),
            ("before-parse", _vet_answer),
            ("after-call", self._note),
            ("after-call-error", _name_call),
        ):
            session.register(event, handler)

    @property
    def refusal(self) -> Refusal | None:
        """The last refused call of this thread; botocore ignores some refusals."""
        return getattr(self._latest, "refusal", None)

    def forget(self) -> None:
        """Start again: earlier refusals do not count."""
        self._latest.refusal = None
        self._latest.handled = sys.exc_info()[1]

    @property
    def handled(self) -> BaseException | None:
        """The exception that was being handled at `forget`: Python chains later ones to it."""
        return getattr(self._latest, "handled", None)

    def _note(self, **event: Any) -> None:
        model, parsed = event["model"], event["parsed"]
        service = model.service_model.service_name
        if event["http_response"].status_code >= _FAILURES:
            error = parsed.get("Error", {})
            words = ": ".join(filter(None, (error.get("Code"), error.get("Message"))))
            self._latest.refusal = Refusal(f"{service}:{model.name}", words)
        elif service in _SECRET_SERVICES:
            secret_values.keep_fields(parsed)

    def _vet_keys(self, **event: Any) -> None:
        if event["signature_version"] == botocore.UNSIGNED:
            return  # these calls get the credentials, so they must not ask for them
        credentials = event["request_signer"]._credentials  # noqa: SLF001 - there is no other way
        if credentials is None:
            return
        try:
            keys = credentials.get_frozen_credentials()  # may fetch them now
        except Exception as error:  # noqa: BLE001 - files, programs and services of all kinds
            raise self._explain(error) from None
        named = {"SecretAccessKey": keys.secret_key, "SessionToken": keys.token}
        secret_values.keep_fields(named)
        for name, value in {"AccessKeyId": keys.access_key, **named}.items():
            if value and not _is_plain(value):
                raise SmProxyError(
                    "no-credentials",
                    f"the {name} of the AWS credentials ({credentials.method}) has a line break"
                    " or another invalid character",
                    "Set it again, without the characters that were pasted with it.",
                )

    def _vet_request(self, **event: Any) -> None:
        request = event["request"]
        network.proxy_for(request.url)
        for name, value in request.headers.items():
            text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
            if _is_plain(text):
                continue
            secret_values.keep(text)
            if name.lower() == "x-amz-sso_bearer_token":
                words = "the SSO token in ~/.aws/sso/cache has an invalid character"
                raise errors.expired_credentials(words, login_profile(self._session), "sso")
            raise SmProxyError(
                "bad-setting",
                f"the header {name} of a request would have a line break or another invalid"
                " character",
                "Correct the AWS_ variable or the line of ~/.aws/config that it comes from.",
            )


def called(error: BaseException) -> str | None:
    """The innermost call that raised an error, such as `sts:AssumeRole`; None if unknown."""
    return getattr(error, "sm_proxy_action", None)


def _name_call(**event: Any) -> None:
    # The event of a nested call comes first, so its name stays.
    error = event["exception"]
    if called(error) is None:
        _, service, operation = event["event_name"].split(".")
        error.sm_proxy_action = f"{service}:{operation}"


def _keep_parameters(**event: Any) -> None:
    secret_values.keep_fields(event["params"])


def _is_plain(text: object) -> bool:
    """Whether it is text that a header can carry; a nested setting is not text."""
    return isinstance(text, str) and text.isascii() and text.isprintable()


def _is_refusal(body: bytes) -> bool:
    """Whether the body has the form of AWS's errors; botocore does not check that."""
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return False
    fields = {name.lower(): value for name, value in document.items()}
    codes = [fields[name] for name in ("__type", "code", "error") if name in fields]
    # Some services send null in place of a message.
    words = [fields.get(name) or "" for name in ("message", "error_description")]
    return all(isinstance(value, str) for value in codes + words)


def _vet_answer(**event: Any) -> None:
    """Refuse a response that is not from AWS, such as the login page of a hotel's network."""
    model, answer = event["operation_model"], event["response_dict"]
    service, body = model.service_model, answer["body"]
    protocol = getattr(service, "resolved_protocol", None) or service.metadata["protocol"]
    if not isinstance(body, bytes) or protocol not in _JSON | _XML:
        return
    status, action = answer["status_code"], f"{service.service_name}:{model.name}"
    if protocol in _JSON:
        ours = body.lstrip()[:1] == b"{" or not (body or model.output_shape)
        ours = ours and (status < _FAILURES or _is_refusal(body))
    else:
        named = b"<Error" if status >= _FAILURES else f"{model.name}Response".encode()
        ours = named in body[:_HEAD_BYTES]
    if ours:
        return
    if protocol in _JSON and status >= _FAILURES:
        answer["body"] = b"{}"  # the status is enough, and botocore may try again
    elif status < _SERVER_ERRORS:
        raise errors.not_aws(action, status, answer["headers"].get("location", ""))

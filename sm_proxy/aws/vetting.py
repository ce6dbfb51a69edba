"""What passes between botocore and AWS, looked at on its way: for every call, nested ones as well.

Secrets are remembered, so that they are struck out of every text. A value that no header can carry
is refused before a request is made, for the HTTP client would repeat it in its own words. An answer
that is none of AWS is told from one that is.
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
"""Those whose answers hold secrets."""
_JSON: Final = frozenset({"json", "rest-json"})
_XML: Final = frozenset({"ec2", "query"})
_HEAD_BYTES: Final = 2000
_REFUSED: Final = 300
_IN_TROUBLE: Final = 500
"""HTTP statuses from which on a call has failed, and from which on it may be tried again."""


@dataclass(frozen=True)
class Refusal:
    """What a service has refused.

    Attributes:
        action: the service and its operation, such as `sso:GetRoleCredentials`.
        words: the service's code and message.
    """

    action: str
    words: str


class Vetting:
    """Looks at everything that a session's clients send and receive.

    Args:
        session: whose clients, made from now on.
        explain: makes our error of what went wrong while credentials were fetched.
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
        """The last call of this thread that a service has refused; botocore passes over some."""
        return getattr(self._latest, "refusal", None)

    def forget(self) -> None:
        """Begin anew: what was refused so far has led to nothing."""
        self._latest.refusal = None
        self._latest.handled = sys.exc_info()[1]

    @property
    def handled(self) -> BaseException | None:
        """What the caller was about to handle: Python takes it for the reason of what followed."""
        return getattr(self._latest, "handled", None)

    def _note(self, **event: Any) -> None:
        model, parsed = event["model"], event["parsed"]
        service = model.service_model.service_name
        if event["http_response"].status_code >= _REFUSED:
            error = parsed.get("Error", {})
            words = ": ".join(filter(None, (error.get("Code"), error.get("Message"))))
            self._latest.refusal = Refusal(f"{service}:{model.name}", words)
        elif service in _SECRET_SERVICES:
            secret_values.keep_fields(parsed)

    def _vet_keys(self, **event: Any) -> None:
        if event["signature_version"] == botocore.UNSIGNED:
            return  # and whoever fetches credentials must not ask for them here
        credentials = event["request_signer"]._credentials  # noqa: SLF001 - botocore tells nobody
        if credentials is None:
            return
        try:
            keys = credentials.get_frozen_credentials()  # fetches them where that is put off
        except Exception as error:  # noqa: BLE001 - files, programs and services of all kinds
            raise self._explain(error) from None
        named = {"SecretAccessKey": keys.secret_key, "SessionToken": keys.token}
        secret_values.keep_fields(named)
        for name, value in {"AccessKeyId": keys.access_key, **named}.items():
            if value and not _is_plain(value):
                raise SmProxyError(
                    "no-credentials",
                    f"the {name} of the AWS credentials ({credentials.method}) holds a line break"
                    " or another character that none has",
                    "Set it again, without what was pasted or read along with it.",
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
                words = "the SSO token in ~/.aws/sso/cache holds a character that none has"
                raise errors.expired_credentials(words, login_profile(self._session), "sso")
            raise SmProxyError(
                "bad-setting",
                f"the header {name} of a request would hold a line break or another character"
                " that none may hold",
                "Mend the AWS_ variable or the line of ~/.aws/config that it comes from.",
            )


def called(error: BaseException) -> str | None:
    """The call that an error ended, such as `sts:AssumeRole`: the innermost."""
    return getattr(error, "sm_proxy_action", None)


def _name_call(**event: Any) -> None:
    # Of a call that another one needs, this is heard first.
    error = event["exception"]
    if called(error) is None:
        _, service, operation = event["event_name"].split(".")
        error.sm_proxy_action = f"{service}:{operation}"


def _keep_parameters(**event: Any) -> None:
    secret_values.keep_fields(event["params"])


def _is_plain(text: object) -> bool:
    """Whether it is text that any header can carry; a nested setting is none."""
    return isinstance(text, str) and text.isascii() and text.isprintable()


def _is_refusal(body: bytes) -> bool:
    """Whether an error is told as AWS tells one: botocore takes its code and words on trust."""
    try:
        told = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return False
    fields = {name.lower(): value for name, value in told.items()}
    codes = [fields[name] for name in ("__type", "code", "error") if name in fields]
    # Some services have no words, and say so with null.
    words = [fields.get(name) or "" for name in ("message", "error_description")]
    return all(isinstance(value, str) for value in codes + words)


def _vet_answer(**event: Any) -> None:
    """Tell a page of a proxy or of a hotel's network from an answer of AWS."""
    model, answer = event["operation_model"], event["response_dict"]
    service, body = model.service_model, answer["body"]
    protocol = getattr(service, "resolved_protocol", None) or service.metadata["protocol"]
    if not isinstance(body, bytes) or protocol not in _JSON | _XML:
        return
    status, action = answer["status_code"], f"{service.service_name}:{model.name}"
    if protocol in _JSON:
        ours = body.lstrip()[:1] == b"{" or not (body or model.output_shape)
        ours = ours and (status < _REFUSED or _is_refusal(body))
    else:
        named = b"<Error" if status >= _REFUSED else f"{model.name}Response".encode()
        ours = named in body[:_HEAD_BYTES]
    if ours:
        return
    if protocol in _JSON and status >= _REFUSED:
        answer["body"] = b"{}"  # the status says enough, and botocore may try again
    elif status < _IN_TROUBLE:
        raise errors.not_aws(action, status, answer["headers"].get("location", ""))

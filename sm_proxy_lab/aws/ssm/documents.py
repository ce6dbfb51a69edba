"""The Session documents and their parameters."""

from __future__ import annotations

import re
from typing import Any

from sm_proxy_lab.aws.http.errors import AwsError

REMOTE_HOST = "AWS-StartPortForwardingSessionToRemoteHost"

_PORT = (
    "^([1-9]|[1-9][0-9]{1,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$"
)
_LOCAL_PORT = _PORT.replace("^([1-9]|", "^([0-9]|", 1)
_HOST = r"^[^,$^&\(\)!;'\"<>\`{}\[\]\|#=]{3,}$"
# Document -> parameter -> (allowed pattern, default).
_DOCUMENTS: dict[str, dict[str, tuple[str, str]]] = {
    "AWS-StartSSHSession": {"portNumber": (_PORT, "22")},
    "AWS-StartPortForwardingSession": {
        "portNumber": (_PORT, "80"),
        "localPortNumber": (_LOCAL_PORT, "0"),
    },
    REMOTE_HOST: {
        "host": (_HOST, "localhost"),
        "portNumber": (_PORT, "80"),
        "localPortNumber": (_LOCAL_PORT, "0"),
    },
    "SSM-SessionManagerRunShell": {},
}


def parameters(document: str, given: dict[str, Any]) -> dict[str, list[str]]:
    """The parameters of a session, with the document's defaults.

    Raises:
        AwsError: There is no such document, or it does not accept these parameters.
    """
    known = _DOCUMENTS.get(document)
    if known is None:
        raise AwsError("InvalidDocument", f"Document with name {document} does not exist.")
    for name, values in given.items():
        if name not in known:
            message = f'Parameter "{name}" is not defined in document {document}.'
            raise AwsError("InvalidParameters", message)
        value = values[0] if isinstance(values, list) and len(values) == 1 else str(values)
        if not re.search(known[name][0], str(value)):
            message = f'Parameter "{name}" has value "{value}" not matching "{known[name][0]}".'
            raise AwsError("InvalidParameters", message)
    return {name: given.get(name, [default]) for name, (_, default) in known.items()}

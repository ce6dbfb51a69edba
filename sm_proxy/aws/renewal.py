"""How to renew expired credentials, by their source."""

from __future__ import annotations

import shlex
from typing import Final

_KEYS: Final = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
_HINTS: Final = {
    "env": f"Get new {_KEYS}, or unset them and log in to a profile: {{login}}",
    "shared-credentials-file": "Put new keys into ~/.aws/credentials{of}; for SSO: {login}",
    "config-file": "Put new keys into ~/.aws/config{of}; for SSO: {login}",
    "custom-process": "Log in with the credential_process{of}, as its own documentation says.",
    "sso": "Renew them with: {login}",
    "login": "Renew them with: aws login{option} (AWS CLI 2.32 or newer)",
    "assume-role-with-web-identity": "Renew the token file of the web identity{of}.",
}
"""By botocore's name of the source (METHOD of the providers in `botocore.credentials`)."""
_UNKNOWN: Final = "Renew them; for SSO: {login}"


def hint(source: str, profile: str | None) -> str:
    """The hint for expired credentials.

    Args:
        source: the `method` of botocore's credentials; empty if unknown.
        profile: that the credentials belong to.
    """
    option = f" --profile {shlex.quote(profile)}" if profile else ""
    of = f" of AWS profile {profile}" if profile else ""
    words = _HINTS.get(source, _UNKNOWN)
    return words.format(login=f"sm-proxy login{option}", option=option, of=of)

"""Compare the principals of two runs, mostly without a call.

What decides that is in the environment, in the AWS configuration and in the tokens of SSO. Where
these are the same, so is the principal, unless its keys come from elsewhere: from a program, a
login of the AWS CLI, or the machine's role. Then only the keys themselves tell.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from sm_proxy.aws.clients import Aws

_OF_PROFILES: Final = frozenset({"assume-role", "assume-role-with-web-identity"})
_SURE: Final = frozenset({"config-file", "env", "shared-credentials-file", "sso"})
"""botocore's names of the sources of keys that only environment and files decide; those above do
unless a profile says where its keys come from."""
_FROM_ELSEWHERE: Final = frozenset(
    {"credential_process", "credential_source", "login_session", "web_identity_token_file"}
)
"""Settings of a profile, perhaps of the source of a role."""
_FILES: Final = {
    "AWS_CONFIG_FILE": "~/.aws/config",
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "",
}
"""Variables that name a file, and where it is usually; only its hash is used."""
_TOKENS: Final = "~/.aws/sso/cache"
_OWN: Final = frozenset({"SM_PROXY_CACHE_DIR", "SM_PROXY_CONFIG_DIR", "SM_PROXY_STATE_DIR"})
_OTHER: Final = frozenset(
    {"boto_config", "curl_ca_bundle", "home", "requests_ca_bundle", "ssl_cert_dir", "ssl_cert_file"}
)


def fingerprint(aws: Aws) -> str:
    """What is known about the principal without a call, and about the way to AWS; not a secret."""
    return _digest(aws.scope.encode("utf-8", "surrogateescape"), surroundings().encode())


def surroundings() -> str:
    """A digest of all that may decide the principal of a run. Keys that it has may be older."""
    return _digest(*_variables(), *_files(), *_tokens())


def of_keys(known: str, aws: Aws) -> str:
    """A fingerprint that also has the keys, which are fetched if needed.

    Args:
        known: the result of `fingerprint`.
        aws: whose keys.

    Raises:
        SmProxyError: as `Aws.call`.
    """
    return _digest(known.encode(), str(aws.keys().access_key).encode())


def is_certain(aws: Aws) -> bool:
    """Whether the fingerprint decides the principal; ask it after a call."""
    if aws.credential_source not in _OF_PROFILES:
        return aws.credential_source in _SURE
    return not any(_FROM_ELSEWHERE.intersection(profile) for profile in _profiles(aws))


def _profiles(aws: Aws) -> Iterator[Mapping[str, Any]]:
    """The settings of the profile, and of those that its keys come from."""
    profiles = aws.session.full_config.get("profiles", {})
    name, seen = aws.session.profile or "default", set[str]()
    while name not in seen:
        seen.add(name)
        yield (profile := profiles.get(name, {}))
        name = profile.get("source_profile", name)


def _variables() -> Iterator[bytes]:
    """The variables that name a principal, or the way to AWS."""
    for name, value in sorted(os.environ.items()):
        small = name.lower()
        if name.startswith("AWS_") or name in _OWN or small in _OTHER or small.endswith("_proxy"):
            yield os.fsencode(f"{name}={value}")


def _files() -> Iterator[bytes]:
    for variable, usual in _FILES.items():
        if not (path := os.path.expandvars(os.environ.get(variable) or usual)):
            continue
        with contextlib.suppress(OSError, ValueError):  # the working folder may be gone, too
            yield os.fsencode(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - as botocore finds it
            yield Path(os.path.expanduser(path)).read_bytes()  # noqa: PTH111 - as above


def _tokens() -> Iterator[bytes]:
    """The state of the files with SSO tokens: another login writes another file."""
    folder = os.path.expanduser(_TOKENS)  # noqa: PTH111 - as above
    with contextlib.suppress(OSError):
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            found = entry.stat()
            state = (entry.name, found.st_ino, found.st_size, found.st_mtime_ns)
            yield json.dumps(state).encode()


def _digest(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()

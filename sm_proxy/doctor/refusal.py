"""Explain why a server refuses a login, as far as a client can tell.

sshd hides its reasons: an unknown key and a forbidden user look alike. It does reveal which methods
and which signatures it accepts, and whether a key alone is enough. The job's description shows
whether its container was given our key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sm_proxy.aws.errors import ServiceError
from sm_proxy.doctor.check import Context
from sm_proxy.errors import SmProxyError
from sm_proxy.identity.identities import ENVIRONMENT_NAME
from sm_proxy.jobs import kinds
from sm_proxy.jobs.container import Container
from sm_proxy.public_key import signature_algorithms

_FORBIDDEN: Final = (
    "Check the server's sshd_config for AllowUsers, "
    "DenyUsers, AllowGroups, PermitRootLogin, PubkeyAcceptedAlgorithms and AuthorizedKeysFile; "
    "/etc/passwd for a shell that exists; /etc/shadow for a lock (!); whether /etc/nologin "
    "exists; and who may write to the home folder and ~/.ssh (StrictModes: chmod go-w). "
    "sshd's own log names the reason."
)


def methods(ssh: Any, user: str, paramiko: Any) -> tuple[str, ...]:
    """The login methods that the server offers a user; empty if it does not say."""
    try:
        ssh.auth_none(user)
    except paramiko.BadAuthenticationType as error:
        return tuple(error.allowed_types)
    except (paramiko.SSHException, EOFError, OSError):
        pass
    return ()


def explain(
    context: Context, user: str, tried: list[str], keys: Iterable[Any], more: Iterable[str]
) -> SmProxyError:
    """The error for a login that was refused.

    Args:
        context: with the SSH connection and the container.
        user: the user that the server refuses.
        tried: the attempts, for people.
        keys: the keys that were offered, as paramiko's objects.
        more: the methods that the server wants in addition to a key that it accepted.
    """
    container: Any = context.container
    what = _message(user, tried, _banner(context.ssh))
    more = sorted(set(more))
    if more:
        return SmProxyError(
            "key-refused",
            f"{what}: it accepts the key, but also wants {' or '.join(more)}",
            "Set AuthenticationMethods to publickey alone in the server's sshd_config.",
        )
    offered = context.login_methods
    if offered and "publickey" not in offered:
        return SmProxyError(
            "key-refused",
            f"{what}: it accepts no keys, only {', '.join(offered)}",
            "Set PubkeyAuthentication to yes, and add publickey to AuthenticationMethods, in the "
            "server's sshd_config.",
        )
    keys = list(keys)
    if kinds := _unwanted(context.ssh, keys):
        return SmProxyError(
            "key-refused",
            f"{what}: it accepts no signatures of {kinds}",
            "Add that kind to PubkeyAcceptedAlgorithms in the server's sshd_config, or use a "
            "key of another kind.",
        )
    if keys and _given(context, container, keys):
        return SmProxyError(
            "key-refused", f"{what}, although the job's Environment has that key", _FORBIDDEN
        )
    hint = container.key_advice
    if container.source != "marker":
        hint += f". If it is there: {_FORBIDDEN[0].lower()}{_FORBIDDEN[1:]}"
    return SmProxyError("key-refused", what, hint)


def _message(user: str, tried: list[str], banner: str) -> str:
    with_keys = f" with {'; '.join(tried)}" if tried else ": there is no key to offer"
    shown = f'; its banner says "{banner}"' if banner else ""
    return f"the server refuses the login of {user}{with_keys}{shown}"


def _banner(ssh: Any) -> str:
    banner = ssh.get_banner() or b""
    text = banner.decode(errors="replace") if isinstance(banner, bytes) else str(banner)
    return " ".join(text.split())[:160]


def _unwanted(ssh: Any, keys: list[Any]) -> str:
    """The types of our keys, if the server accepts no signature of them (RFC 8308); else ``""``."""
    reported = getattr(ssh, "server_extensions", {}).get("server-sig-algs", b"")
    wanted = set(reported.decode(errors="replace").split(",")) - {""}
    kinds = {str(key.get_name()) for key in keys}
    if not wanted or any(signature_algorithms(kind) & wanted for kind in kinds):
        return ""
    return ", ".join(sorted(kinds))


def _given(context: Context, container: Container, keys: list[Any]) -> bool:
    """Whether the job's environment has one of the keys; only our entrypoint reads it."""
    if container.source != "marker":
        return False
    known = {
        word
        for name, value in _environment(context, container).items()
        if re.fullmatch(rf"{ENVIRONMENT_NAME}(_\d+)?", name)
        for word in value.split()
    }
    return any(key.get_base64() in known for key in keys)


def _environment(context: Context, container: Container) -> Mapping[str, str]:
    operation, parameters = kinds.of(container.kind).describe_call(container.job)
    try:
        answer = context.aws.call("sagemaker", operation, **parameters)
    except (ServiceError, SmProxyError):
        return {}
    return {str(name): str(value) for name, value in (answer.get("Environment") or {}).items()}

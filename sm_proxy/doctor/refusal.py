"""Why a server lets nobody in, as far as one can tell from outside.

sshd hides its reasons: a key that it does not know and a user whom it forbids look alike. What it
does tell is which methods it takes, which signatures, and whether a key alone is enough. And the
job's own description tells whether our key is one of those that its container was given.
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
    "The key is not what is missing: look into the container's sshd_config for AllowUsers, "
    "DenyUsers, AllowGroups, PermitRootLogin, PubkeyAcceptedAlgorithms and AuthorizedKeysFile; "
    "into /etc/passwd for a shell that is there; into /etc/shadow for a lock (!); at /etc/nologin; "
    "and at who may write to the home folder and ~/.ssh (StrictModes: chmod go-w). "
    "sshd's own log names the reason."
)


def methods(ssh: Any, user: str, paramiko: Any) -> tuple[str, ...]:
    """Which ways to log in the server offers a user; none where it does not say."""
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
    """The failure of a login.

    Args:
        context: with the SSH connection and the container.
        user: whom the server refuses.
        tried: what was tried, for people.
        keys: paramiko's keys among those.
        more: what the server wants besides a key that it took.
    """
    container: Any = context.container
    what = (
        f"the container does not let {user} in with {'; '.join(tried) or 'any key, there is none'}"
    )
    if banner := _banner(context.ssh):
        what += f'; it says "{banner}"'
    more = sorted(set(more))
    if more:
        return SmProxyError(
            "key-refused",
            f"{what}: it takes the key, and wants {' or '.join(more)} besides",
            "Have AuthenticationMethods in the container's sshd_config ask for publickey alone.",
        )
    offered = context.login_methods
    if offered and "publickey" not in offered:
        return SmProxyError(
            "key-refused",
            f"{what}: it takes no keys, only {', '.join(offered)}",
            "Write PubkeyAuthentication yes, and publickey in AuthenticationMethods, into the "
            "container's sshd_config.",
        )
    keys = list(keys)
    if kinds := _unwanted(context.ssh, keys):
        return SmProxyError(
            "key-refused",
            f"{what}: it takes no signatures of {kinds}",
            "Let PubkeyAcceptedAlgorithms in the container's sshd_config name that kind, or use a "
            "key of another one.",
        )
    if keys and _given(context, container, keys):
        return SmProxyError(
            "key-refused", f"{what}, although the job was given that key", _FORBIDDEN
        )
    hint = container.key_advice
    if container.source != "marker":
        hint += f". If it is there: {_FORBIDDEN[0].lower()}{_FORBIDDEN[1:]}"
    return SmProxyError("key-refused", what, hint)


def _banner(ssh: Any) -> str:
    told = ssh.get_banner() or b""
    text = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
    return " ".join(text.split())[:160]


def _unwanted(ssh: Any, keys: list[Any]) -> str:
    """The kinds of our keys, if the server has said that it takes signatures of none (RFC 8308)."""
    told = getattr(ssh, "server_extensions", {}).get("server-sig-algs", b"")
    wanted = set(told.decode(errors="replace").split(",")) - {""}
    kinds = {str(key.get_name()) for key in keys}
    if not wanted or any(signature_algorithms(kind) & wanted for kind in kinds):
        return ""
    return ", ".join(sorted(kinds))


def _given(context: Context, container: Container, keys: list[Any]) -> bool:
    """Whether one of the keys stands in the job's environment, which only our entrypoint reads."""
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

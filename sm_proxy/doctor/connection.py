"""Checks of a real connection, step by step: tunnel, banner, host key, login."""

from __future__ import annotations

import contextlib
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sm_proxy import public_key
from sm_proxy.aws.errors import ServiceError
from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.doctor import refusal
from sm_proxy.doctor.check import Context, DoubtfulCheck, SkipCheck, needed
from sm_proxy.errors import SmProxyError
from sm_proxy.host_keys import trust_on_first_use
from sm_proxy.identity import identities
from sm_proxy.jobs.container import Container
from sm_proxy.local import private_files
from sm_proxy.local.threads import Background
from sm_proxy.routes import sessions
from sm_proxy.routes import table as routes
from sm_proxy.tunnel import login_transport
from sm_proxy.tunnel.blocking_socket import BlockingSocket, import_paramiko, prefer_kinds

_STEP_S: Final = 15.0
_AGENT_S: Final = 5.0
_LOCKED: Final = "has a passphrase, and no agent holds the key"
_OFFERED: Final = 6
"""How many keys a server accepts by default (MaxAuthTries in sshd_config)."""


def expected_key(context: Context) -> str:
    """We know which host key to expect; without one, ssh does not connect."""
    container = needed(context.container, "the container")
    if not container.host_keys:
        pinned = trust_on_first_use.pinned(container, context.settings, context.aws.scope)
        if pinned is None:
            asked = "" if container.accepts_first_key else ", as you asked"
            raise DoubtfulCheck(f"the first connection will trust the key that it sees{asked}")
        context.container = replace(container, host_keys=(pinned,))
        context.pinned = trust_on_first_use.pin_path(container, context.aws.scope)
        return f"{public_key.describe(pinned)}, pinned on first use"
    return ", ".join(map(public_key.describe, container.host_keys))


def tunnel(context: Context) -> str:
    """The route connects: with a session, its agent reports the data channel open."""
    container = needed(context.container, "the container")
    stream = routes.connect(container, context.settings, context.aws)
    context.session_id = stream.session_id
    context.tunnel = BlockingSocket(stream)
    context.tunnel.wait_open()
    context.session_id = stream.session_id  # of the route that serves in the end
    what = "data channel" if stream.session_id else "connection"
    return f"the {what} is open, through {stream.through}"


def banner(context: Context) -> str:
    """An SSH server greets."""
    found: BlockingSocket = needed(context.tunnel, "the tunnel")
    container = needed(context.container, "the container")
    return found.await_greeting(container.place, container.look)


def host_key(context: Context) -> str:
    """The server shows one of the expected keys."""
    paramiko = import_paramiko()
    found = needed(context.tunnel, "the tunnel")
    container = needed(context.container, "the container")
    transport = context.ssh = login_transport.make(paramiko, found.socket)
    prefer_kinds(transport, container.host_keys)
    try:
        transport.start_client(timeout=_STEP_S)
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise SmProxyError(
            "host-key-unknown" if not container.host_keys else "host-key-changed",
            f"the server offers no key of the expected kind: {error}",
            "Check that the container's own sshd listens on that port.",
        ) from None
    key = transport.get_remote_server_key()
    seen = f"{key.get_name()} {key.get_base64()}"
    if not container.host_keys:
        raise SkipCheck(f"no host key is known yet; the server's is {key.get_name()}")
    if seen not in container.host_keys:
        raise _other_key(context, container, public_key.describe_blob(key.asbytes()))
    return str(key.get_name())


def _other_key(context: Context, container: Container, seen: str) -> SmProxyError:
    """The server shows another key than the expected ones."""
    origin = "pinned on first use" if context.pinned else "expected from the log"
    trust = f"delete {context.pinned} to trust anew."
    ask = "find out which server answers there, and"
    if container.accepts_first_key:
        origin = "first seen since its app started"
    if container.kind in SESSION_KINDS:
        step = SESSION_KINDS[container.kind].other_key.format(host=container.host, trust=trust)
    elif context.pinned:
        step = f"{ask} if the container was replaced, {trust}"
    else:
        step = f"{ask} check who can write the job's log."
    expected = ", ".join(map(public_key.describe, container.host_keys))
    return SmProxyError(
        "host-key-changed",
        f"{origin}: {expected}; seen at {container.place}: {seen}",
        f"Do not log in: {step}",
    )


def login(context: Context) -> str:
    """The server accepts our key, or one of the agent's."""
    paramiko = import_paramiko()
    container = needed(context.container, "the container")
    ssh = needed(context.ssh, "the SSH connection")
    user = _user(context, container)
    tried: list[str] = []
    more: list[str] = []
    keys = _keys(context, paramiko, tried)
    context.login_methods = refusal.methods(ssh, user, paramiko)
    if ssh.is_authenticated():
        return f"{user}, without any key: the server lets everyone in"
    for name, key in keys:
        try:
            more += ssh.auth_publickey(user, key)
        except (paramiko.SSHException, EOFError, OSError) as error:
            tried.append(f"{name}: {error}")
        if ssh.is_authenticated():
            return f"{user}, with {name}"
    if _LOCKED in "; ".join(tried):
        raise SmProxyError(
            "key-refused",
            "; ".join(tried),
            f"ssh-add {shlex.quote(str(identities.private_key_path(context.settings)))}",
        )
    raise refusal.explain(context, user, tried, [key for _, key in keys], more)


def _user(context: Context, container: Container) -> str:
    """The only user that the container accepts, if its log names one; else the user of ssh."""
    chosen = context.login if container.source is None else None
    return chosen or container.user or context.login or context.settings.user


def resumable(context: Context) -> str:
    """ResumeSession is allowed; without it, a connection ends with the laptop's network."""
    needed(context.tunnel, "the tunnel")
    if not context.session_id:
        raise SkipCheck("this route has no session")
    try:
        # This does not disturb the session: it only returns a token, which we do not use.
        context.aws.call("ssm", "ResumeSession", SessionId=context.session_id)
    except ServiceError as error:
        return f"allowed ({error.error})"
    return "allowed"


def ended(context: Context) -> str:
    """TerminateSession is allowed; without it, each connection leaves a session open."""
    needed(context.tunnel, "the tunnel")
    close(context)
    if not context.session_id:
        raise SkipCheck("this route has no session")
    try:
        sessions.terminate(context.aws, context.session_id)
    except ServiceError as error:
        raise error.as_failure() from None
    return "the session is over"


def close(context: Context) -> None:
    """Close the connection, however far it got."""
    if context.ssh is not None:
        context.ssh.close()
    if context.tunnel is not None:
        context.tunnel.close()


def _keys(context: Context, paramiko: Any, tried: list[str]) -> list[tuple[str, Any]]:
    """The keys that ssh would offer: ours, and those of the agent that the ssh config names."""
    held = _agent_keys(context, paramiko)
    own: list[tuple[str, Any]] = []
    for path in identities.offered_paths(context.settings):
        try:
            own.append((str(path), paramiko.PKey.from_path(path)))
        except FileNotFoundError:  # noqa: PERF203 - two keys at most
            tried.append(f"{path}: does not exist")
        except (paramiko.PasswordRequiredException, TypeError):  # cryptography raises TypeError
            if not held:
                tried.append(f"{path} {_LOCKED}")
        except Exception as error:  # noqa: BLE001 - paramiko raises many types
            tried.append(f"{path}: cannot be used here ({type(error).__name__})")
    return own + held


def _agent_keys(context: Context, paramiko: Any) -> list[tuple[str, Any]]:
    socket_path = next(iter(context.effective.get("identityagent", [])), "")
    if socket_path.startswith(("/", "~")):
        os.environ["SSH_AUTH_SOCK"] = str(Path(socket_path).expanduser())
    if socket_path == "none":
        return []
    asked = Background(lambda: paramiko.Agent().get_keys())
    asked.settled(_AGENT_S)
    if not asked.done:
        raise SmProxyError(
            "unsupported",
            f"the ssh-agent at {os.environ.get('SSH_AUTH_SOCK', 'its usual place')} does not "
            f"answer within {_AGENT_S:.0f} s, and ssh waits for it",
            "Restart that agent, or go without it: unset SSH_AUTH_SOCK.",
        )
    if isinstance(asked.error, (paramiko.SSHException, OSError)):
        return []
    held = asked.result()
    named = _named(context)
    only = "yes" in context.effective.get("identitiesonly", [])
    return [
        (f"agent key {key.get_name()} {key.get_base64()[-8:]}", key)
        for key in held
        if not only or key.get_base64() in named
    ][:_OFFERED]


def _named(context: Context) -> set[str]:
    """The public keys, in base64, of the identity files that ssh uses."""
    found: set[str] = set()
    files = context.effective.get("identityfile", [])
    for file in (*files, str(identities.private_key_path(context.settings))):
        with contextlib.suppress(OSError, IndexError, ValueError, RuntimeError):
            public = Path(f"{file}.pub").expanduser()
            if private_files.is_regular(public):
                found.add(public.read_text(encoding="utf-8").split()[1])
    return found

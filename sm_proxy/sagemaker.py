"""Switch ssh on in the jobs that a script starts with the SageMaker Python SDK, version 2 or 3.

    from sagemaker.pytorch import PyTorch
    from sm_proxy.sagemaker import enable_ssh

    estimator = PyTorch(entry_point="train.py", ...)
    enable_ssh(estimator)
    estimator.fit()                     # prints, among others: ssh sm-pytorch-training-2026-...

This module does not import `sagemaker`, and `sm-proxy` does not need it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from sm_proxy import error_handler, public_key
from sm_proxy import settings as settings_of
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.identity import identities
from sm_proxy.jobs import hostname
from sm_proxy.launch import caller, prepare, sdk, shapes
from sm_proxy.launch.request import Ssh
from sm_proxy.launch.shapes import Operation
from sm_proxy.local import output, private_files
from sm_proxy.settings import Settings, durations

__all__ = ["EnableSshError", "enable_ssh"]

_Object = TypeVar("_Object")
_Keys = Sequence[str | os.PathLike[str]]
_ARGUMENTS: Final = {
    "--entrypoint 'PROGRAM ARGUMENT...'": 'entrypoint="PROGRAM ARGUMENT..."',
    "--entrypoint": "entrypoint=...",
    "--subnets subnet-...": 'subnets=["subnet-..."],',
    "--security-groups sg-...": 'security_groups=["sg-..."]',
    "--subnets": "subnets=[...]",
    "--security-groups": "security_groups=[...]",
    "--remote-debug": "remote_debug=True",
    "--without-isolation": "your object's own enable_network_isolation=False",
    "--yes": "sure=True",
}
"""The arguments that replace options of our commands, the longest first."""
_AS_KEY: Final = "Give a line such as `ssh-ed25519 AAAA...`, or the path of a .pub file."
_AS_LIST: Final = 'Give a list: entrypoint=["python", "x.py"].'


class _Default(str):
    """A default of ours: the settings in the environment of the object's job come before it."""

    __slots__ = ()


_KEEP: Final = _Default("30m")
_WAIT: Final = _Default("0")


class EnableSshError(SmProxyError):
    """Ssh cannot be switched on. Nothing was sent; the message tells what to do."""

    def __str__(self) -> str:
        """The message and the next step, without secrets that a service has repeated."""
        return error_handler.redacted(self).text


def enable_ssh(
    obj: _Object,
    *,
    keep: str = _KEEP,
    wait: str = _WAIT,
    keys: str | os.PathLike[str] | _Keys | None = None,
    subnets: Sequence[str] | None = None,
    security_groups: Sequence[str] | None = None,
    entrypoint: str | Sequence[str] | None = None,
    remote_debug: bool = False,
    sure: bool = False,
) -> _Object:
    """Switch ssh on in every job that this object starts from now on.

    Other objects of the same session stay as they are. Called again, it replaces the options. If
    you leave `keep` or `wait` out, the object's own `SM_PROXY_KEEP_FAILURE`, `SM_PROXY_WAIT` and
    the like count, if its environment has them.

    Args:
        obj: an Estimator of any framework, a ModelTrainer, or a Processor.
        keep: how long the container stays after your program has failed, and at most while you are
            connected after its end: `90s`, `10m`, `2h`. The job costs money for as long.
        wait: how long your program's start waits for you to connect.
        keys: public keys that may log in, lines or paths; None for those of this machine.
        subnets: of the job; None for the object's own, else those of `[launch]` in config.toml,
            else the bastion's.
        security_groups: of the job; give both or none.
        entrypoint: the command that the image runs, if it cannot be read from the registry.
        remote_debug: switch RemoteDebug on, so that ssh needs no VPC and no bastion.
        sure: start the job even if ssh will probably not reach it.

    Returns:
        The same object.

    Raises:
        EnableSshError: the object starts no job that ssh could enter, or an argument is wrong. When
            the job is started, the same error tells what prevents ssh; no job is created then.
    """
    with _explained():
        settings = settings_of.load_for({})
        ssh = Ssh(
            keys=_lines(keys) if keys is not None else _own_keys(settings),
            wait_s=_seconds("wait", wait),
            keep_s=_seconds("keep", keep),
            subnets=_names("subnets", subnets),
            security_groups=_names("security_groups", security_groups),
            remote_debug=_flag("remote_debug", remote_debug),
        )
        sdk.attach(obj, _Switch(ssh, settings, _words(entrypoint), sure=_flag("sure", sure)))
    return obj


@dataclass(frozen=True)
class _Switch:
    """What `enable_ssh` wants of one object's jobs. See `sdk.Switch`."""

    ssh: Ssh
    settings: Settings
    entrypoint: tuple[str, ...] | None
    sure: bool

    def explaining(self) -> contextlib.AbstractContextManager[None]:
        """Errors of ours in it become those that users of this module know."""
        return _explained()

    def change(self, operation: Operation, request: dict[str, Any], session: Any) -> dict[str, Any]:
        """Add ssh to a request, and upload what its container needs."""
        with _explained():
            aws = caller.of_session(session._session)  # noqa: SLF001 - boto3 has no other way
            prepared = prepare.prepare(
                aws,
                operation,
                request,
                self.ssh,
                settings=self.settings,
                entrypoint=self.entrypoint,
                sure=self.sure,
                on_status=output.status,
            )
            return prepare.deliver(aws, prepared, output.status)

    def created(self, operation: Operation, name: str) -> None:
        """Print the command that enters the job."""
        target = hostname.shortest(self.settings.prefix, name, shapes.of(operation).KIND)
        output.status(f"when the job runs, enter it with: ssh {target.host}")

    def unseen(self, method: str) -> None:
        """Print that the job, if there is one, has no ssh."""
        output.status(
            f"{method} has sent no request through the client that we know: no job got ssh."
            " If it created one: sm-proxy relaunch JOB"
        )


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ServiceError as error:
        raise _in_python(error.as_failure()) from None
    except SmProxyError as error:
        raise _in_python(error) from None


def _in_python(error: SmProxyError) -> EnableSshError:
    """The error, with arguments in its hint instead of the options of our commands."""
    hint = error.hint
    for option, argument in _ARGUMENTS.items():
        hint = hint.replace(option, argument)
    return EnableSshError(error.code, error.message, hint)


def _own_keys(settings: Settings) -> tuple[str, ...]:
    path = identities.private_key_path(settings)
    if not private_files.exists(path) and not settings.identity_file:
        raise SmProxyError(
            "no-identity",
            f"this machine has no key for ssh at {path}",
            "If you will run ssh on this machine, run `sm-proxy setup` here. If on another one, run"
            " `sm-proxy keys show` there, and give its line: enable_ssh(obj, keys=[LINE]).",
        )
    return tuple(key.public_key for key in identities.offered(settings))


def _lines(keys: str | os.PathLike[str] | _Keys) -> tuple[str, ...]:
    """The public keys that these lines and paths stand for."""
    given = [keys] if isinstance(keys, str | os.PathLike) else keys
    if not isinstance(given, Iterable):
        raise _usage(f"keys has the wrong type, {type(given).__name__}", _AS_KEY)
    found = tuple(line for key in given for line in _lines_of(key))
    if not found:
        raise _usage("keys is empty", "Leave it out, or give a public key.")
    return found


def _lines_of(key: str | os.PathLike[str]) -> list[str]:
    if not isinstance(key, str | os.PathLike):
        raise _usage(f"keys has an item of the wrong type, {type(key).__name__}", _AS_KEY)
    text = str(key)
    if found := _keys_in(text):
        return found
    try:
        content = Path(text).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError, RuntimeError) as error:
        # A text of several lines may be a private key.
        shown = "this text" if "\n" in text else repr(printable(text, 60))
        why = getattr(error, "strerror", None) or "not a path"
        raise _usage(
            f"{shown} is neither a public key nor a file with one: {why}", _AS_KEY
        ) from None
    found = _keys_in(content)
    if not found:
        raise _usage(
            f"{printable(text, 60)} holds no public key", "Give the file that ends in .pub."
        )
    return found


def _keys_in(text: str) -> list[str]:
    """The lines of a text that have a public key.

    Raises:
        SmProxyError: `usage`, a line begins with options, which would be lost.
    """
    lines = [" ".join(line.split()) for line in text.splitlines() if public_key.bare(line)]
    for line in lines:
        if not public_key.is_public_key(" ".join(line.split()[:2])):
            raise _usage(
                "a line of keys begins with options, which a job does not take over",
                "Give the line from the type of the key on: `ssh-ed25519 AAAA...`.",
            )
    return lines


def _seconds(name: str, text: str) -> int | None:
    if isinstance(text, _Default):
        return None
    try:
        return durations.parse(str(text))  # a number is seconds, as in a job's Environment
    except ValueError as error:
        raise _usage(f"{name} must be {error}", f'Write it as in {name}="30m".') from None


def _flag(name: str, given: object) -> bool:
    if not isinstance(given, bool):
        raise _usage(f"{name} must be True or False", f"Leave it out, or write {name}=True.")
    return given


def _names(name: str, given: Sequence[str] | None) -> tuple[str, ...]:
    if given is None:
        return ()
    shown = given if isinstance(given, str) else f"{name[:-1]}-id"
    hint = f'Write it as in {name}=["{printable(shown, 60)}"].'
    names = _list(name, given, hint)
    if not all(names):
        raise _usage(f"{name} has an empty text", hint)
    return names


def _list(name: str, given: Any, hint: str) -> tuple[str, ...]:
    """The texts of a list that a user has given."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise _usage(f"{name} must be a list of texts", hint)
    texts = tuple(given)
    if not all(isinstance(text, str) for text in texts):
        raise _usage(f"{name} must be a list of texts", hint)
    return texts


def _words(command: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if command is None:
        return None
    try:
        words = shlex.split(command) if isinstance(command, str) else command
    except ValueError as error:
        raise _usage(f"entrypoint has {error}", _AS_LIST) from None
    if not (found := _list("entrypoint", words, _AS_LIST)):
        raise _usage("entrypoint is empty", _AS_LIST)
    return found


def _usage(what: str, hint: str) -> SmProxyError:
    return SmProxyError("usage", what, hint)

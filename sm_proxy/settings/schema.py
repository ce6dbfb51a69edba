"""All settings in one frozen record, and the checks of their values."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths
from sm_proxy.settings import durations
from sm_proxy.settings.route_names import AUTO, ROUTE_NAMES

WAIT_DEFAULT_S = 15 * 60
KEEP_SESSION_DEFAULT_S = 2 * 60
DAEMON_IDLE_DEFAULT_S = 10 * 60

_PATHS = frozenset({"ssh_dir", "identity_file", "identity_agent"})
_PRINTABLE = re.compile(r".+")
_SHAPES = {
    "prefix": (re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*"), "letters, digits, `-`, `_` and `.`"),
    "user": (re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*"), "a user name"),
    "bastion_user": (re.compile(r"[A-Za-z_][A-Za-z0-9@._-]{0,31}"), "a user name"),
    "bastion": (re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.-]*"), "an instance id"),
    "route": (re.compile("|".join((AUTO, *ROUTE_NAMES))), f"{AUTO} or {', '.join(ROUTE_NAMES)}"),
    "launch_s3": (
        re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[A-Za-z0-9._=-]+)*/?"),
        "s3://BUCKET/FOLDER",
    ),
    "copy_s3": (
        re.compile(r"(?:s3://)?[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[A-Za-z0-9._=-]+)*/?"),
        "BUCKET or BUCKET/PREFIX",
    ),
}
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d+")
_WORDS: dict[type, str] = {str: "a string", dict: "a table"}
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


def _setting(default: Any, *, flag: tuple[str, str] | None = None, recorded: bool = False) -> Any:
    """A field of `Settings`; the variable SM_PROXY_<NAME> and config.toml can set it, too.

    Args:
        default: its value if nothing sets it.
        flag: metavar and help of the option that every command takes; None for no such option.
        recorded: whether the ssh config block records it, so that each prefix has its own.
    """
    return field(default=default, metadata={"flag": flag, "recorded": recorded})


@dataclass(frozen=True)
class LaunchNetwork:
    """In which network new jobs run, unless their request or an option says so.

    Attributes:
        region: the only one in which it counts.
        subnets: their ids, at least one.
        security_groups: their ids, at least one.
    """

    region: str
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """The settings of one run.

    Attributes:
        prefix: the part of a host name before the job's name.
        profile: AWS profile, or None for botocore's own choice, for example by AWS_PROFILE. With a
            named profile, botocore ignores the keys in the environment.
        region: AWS region, or None for botocore's own choice.
        bastion: instance id of the bastion, or None to find it by tag in the job's VPC.
        bastion_user: the user of the bastion's own sshd, for the route `bastion-ssh`.
        route: the only route to take (see `route_names`), or `auto` for the best that can serve.
        user: the user to log in as, for the ssh config block.
        identity_file: the private key for the ssh config block; None for our own.
        identity_agent: socket of the agent that holds the key, or SSH_AUTH_SOCK, for the block;
            None for ssh's own choice.
        keys_s3: folder in S3 (`s3://bucket/keys/`) from which containers read public keys.
        launch_s3: folder in S3 (`s3://bucket/folder`) for files that `relaunch` and `launch` bring
            into a job; None for a bucket that the job uses.
        copy_s3: bucket (`BUCKET` or `BUCKET/PREFIX`) in which `cp --via s3` hands files over; None
            for the one that its option names.
        ssh_dir: folder of our ssh files; None for `~/.ssh/sm-proxy`.
        wait: how long `connect` waits for a starting job, in seconds.
        probe: whether to find out, while another route carries a connection, if this network
            reaches the container directly (through a VPN or peering).
        allow_loopback: accept a loopback address for a container (the lab without namespaces).
        trust_first_use: if the log names no host key, trust the first one that is seen.
        control_master: let later connections share the first one, in the ssh config block.
        fdpass: let ssh wait without a timeout until the tunnel is up (`ProxyUseFdpass`), in the
            ssh config block; Linux and macOS only.
        compression: let ssh compress (`Compression`), in the ssh config block: faster through SSM,
            and slower where the network is fast.
        keep_session: how long a session is kept for the next connection, in seconds; 0 for a
            session of its own for each connection.
        session_ahead: open the next session while one is in use, before a connection needs it.
        daemon_idle: after how many seconds without work the daemon ends; 0 for no daemon.
        transfer_hint: tell about `sm-proxy cp` in the first long transfer of a day.
        launch: the network of new jobs; None for the bastion's.
        hosts: settings of single hosts, by host name.
    """

    profile: str | None = _setting(None, flag=("NAME", "AWS profile"), recorded=True)
    region: str | None = _setting(None, flag=("REGION", "AWS region"), recorded=True)
    bastion: str | None = _setting(None, flag=("ID", "instance id of the bastion"), recorded=True)
    bastion_user: str = _setting("ec2-user", recorded=True)
    route: str = _setting(
        AUTO,
        flag=("NAME", f"route to the container: {AUTO}, {', '.join(ROUTE_NAMES)}"),
        recorded=True,
    )
    prefix: str = _setting("sm-", flag=("PREFIX", "prefix of host names (default: sm-)"))
    ssh_dir: str | None = _setting(
        None, flag=("DIR", "folder of our ssh files (default: ~/.ssh/sm-proxy)")
    )
    keep_session: int = _setting(
        KEEP_SESSION_DEFAULT_S,
        flag=("DURATION", "keep a session for the next connection (default: 2m; 0: do not)"),
    )
    daemon_idle: int = _setting(
        DAEMON_IDLE_DEFAULT_S,
        flag=("DURATION", "end our daemon when it was idle for so long (default: 10m; 0: none)"),
    )
    user: str = _setting("root", recorded=True)
    identity_file: str | None = _setting(None, recorded=True)
    identity_agent: str | None = _setting(None, recorded=True)
    wait: int = _setting(WAIT_DEFAULT_S, recorded=True)
    control_master: bool = _setting(False, recorded=True)
    keys_s3: str | None = None
    launch_s3: str | None = None
    copy_s3: str | None = None
    probe: bool = True
    allow_loopback: bool = False
    trust_first_use: bool = False
    fdpass: bool = _setting(True, recorded=True)
    compression: bool = _setting(True, recorded=True)
    session_ahead: bool = False
    transfer_hint: bool = True
    launch: LaunchNetwork | None = None
    hosts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def ssh_folder(self) -> Path:
        """The folder with our ssh config, key and known_hosts.d."""
        if not self.ssh_dir:
            return paths.default_ssh_dir()
        return Path(self.ssh_dir).expanduser().absolute()

    @property
    def ssh_config_file(self) -> Path:
        """Our own ssh config, which the user's includes."""
        return self.ssh_folder / "config"

    @property
    def known_hosts_folder(self) -> Path:
        """The folder of our known_hosts files, one for each host."""
        return self.ssh_folder / "known_hosts.d"

    def trusts_first_use(self, host: str) -> bool:
        """Whether the user opted in to trust on first use, for this host or for this run."""
        return self.trust_first_use or self.hosts.get(host, {}).get("trust_first_use") is True

    @property
    def named_profile(self) -> str | None:
        """The name of the profile, even if only an AWS variable names it."""
        return self.profile or aws_profile()


FLAGS: Final[dict[str, tuple[str, str]]] = {
    item.name: flag for item in fields(Settings) if (flag := item.metadata.get("flag"))
}
"""The settings that are an option of every command: metavar and help."""
RECORDED: Final = tuple(item.name for item in fields(Settings) if item.metadata.get("recorded"))
"""The settings that a context records: see `settings.contexts`."""
IN_PROXY_COMMAND: Final = tuple(name for name in RECORDED if name in FLAGS)
"""The recorded settings that the ProxyCommand carries as options."""


def option(name: str) -> str:
    """The option of a setting: `--ssh-dir` for `ssh_dir`."""
    return f"--{name.replace('_', '-')}"


_AWS_PROFILES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")


def aws_profile() -> str | None:
    """The profile that AWS_DEFAULT_PROFILE or AWS_PROFILE names."""
    return next(filter(None, map(os.environ.get, _AWS_PROFILES)), None)


def validate(name: str, value: object, where: str) -> Any:
    """Check the value of a setting, and convert it to its type.

    Args:
        name: the name of the setting.
        value: its value, before the conversion.
        where: the option, variable or file that sets it, for the error message.

    Raises:
        SmProxyError: `bad-setting`.
    """
    default = getattr(Settings, name, None)
    if isinstance(default, bool):
        return _boolean(name, value, where)
    if isinstance(default, int):
        return _duration(name, value, where)
    expected: type = dict if name == "hosts" else str
    if not isinstance(value, expected):
        raise _bad(name, where, _WORDS[expected])
    return _text(name, value, where) if isinstance(value, str) else value


def _text(name: str, value: str, where: str) -> str:
    """The checked text: most of these settings go into the ssh config, where spaces split words."""
    pattern, words = _SHAPES.get(name, (_PRINTABLE, "printable text"))
    if not pattern.fullmatch(value) or not value.isprintable():
        raise _bad(name, where, f"{words}, not {value!r}")
    if name in _PATHS and not has_home(value):
        raise _bad(name, where, f"a path with an existing home folder, not {value!r}")
    return value


def is_region(name: str) -> bool:
    """Whether `name` looks like an AWS region, in any partition."""
    return _REGION.fullmatch(name) is not None


def has_home(value: str) -> bool:
    """Whether the home folder of a leading `~` or `~user` exists; True without a tilde."""
    try:
        Path(value).expanduser()
    except RuntimeError:
        return False
    return True


def _boolean(name: str, value: object, where: str) -> bool:
    word = str(value).lower()
    if word not in _TRUE | _FALSE:
        raise _bad(name, where, f"true or false, not {value!r}")
    return word in _TRUE


def _duration(name: str, value: object, where: str) -> int:
    try:
        return durations.parse(str(value))
    except ValueError as error:
        raise _bad(name, where, str(error)) from None


def _bad(name: str, where: str, expected: str) -> SmProxyError:
    what = f"{name} in {where} must be {expected}"
    return SmProxyError("bad-setting", what, f"Change {name} there, or remove it.")

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


def _setting(
    default: Any,
    about: str,
    *,
    unset: str = "",
    flag: str = "",
    recorded: bool = False,
    aws: tuple[str, ...] = (),
) -> Any:
    """A field of `Settings`; the variable SM_PROXY_<NAME> and config.toml can set it, too.

    Args:
        default: its value if nothing sets it.
        about: what it is, for help and documentation: a phrase without capital and full stop.
        unset: the default in words, where the value does not say it.
        flag: metavar of the option that every command takes; empty for no such option.
        recorded: whether the ssh config block records it, so that each prefix has its own.
        aws: the AWS variables that set it too, the strongest first.
    """
    what = {"about": about, "unset": unset, "flag": flag, "recorded": recorded, "aws": aws}
    return field(default=default, metadata=what)


def _table(about: str, unset: str) -> dict[str, Any]:
    """What a field is that only config.toml can set, as a table."""
    return {"about": about, "unset": unset, "file_only": True}


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

    Each field says what it is. None stands for the default in words; durations are in seconds.
    With a named profile, botocore ignores the keys in the environment.
    """

    profile: str | None = _setting(
        None,
        "AWS profile",
        unset="as boto3",
        flag="NAME",
        recorded=True,
        aws=("AWS_DEFAULT_PROFILE", "AWS_PROFILE"),
    )
    region: str | None = _setting(
        None,
        "AWS region",
        unset="as boto3",
        flag="REGION",
        recorded=True,
        aws=("AWS_REGION", "AWS_DEFAULT_REGION"),
    )
    bastion: str | None = _setting(
        None, "instance id of the bastion", unset="found by its tag", flag="ID", recorded=True
    )
    bastion_user: str = _setting(
        "ec2-user",
        "user of the bastion's own sshd, for the route bastion-ssh",
        flag="USER",
        recorded=True,
    )
    route: str = _setting(
        AUTO,
        f"the only route to take: {', '.join(ROUTE_NAMES)}",
        unset=f"{AUTO}: the first that works",
        flag="NAME",
        recorded=True,
    )
    prefix: str = _setting("sm-", "prefix of host names", flag="PREFIX")
    ssh_dir: str | None = _setting(
        None, "folder of our ssh files", unset="~/.ssh/sm-proxy", flag="DIR"
    )
    keep_session: int = _setting(
        KEEP_SESSION_DEFAULT_S,
        "how long a session is kept for the next connection; 0: each has its own",
        flag="DURATION",
    )
    daemon_idle: int = _setting(
        DAEMON_IDLE_DEFAULT_S,
        "how long the daemon stays after the last ssh; 0: no daemon",
        flag="DURATION",
    )
    user: str = _setting("root", "user to log in as", recorded=True)
    identity_file: str | None = _setting(
        None, "your own private key, or its .pub", unset="our key", recorded=True
    )
    identity_agent: str | None = _setting(
        None,
        "the ssh-agent that holds your key: a socket's path, or SSH_AUTH_SOCK",
        unset="as ssh",
        recorded=True,
    )
    wait: int = _setting(WAIT_DEFAULT_S, "how long ssh waits for a starting job", recorded=True)
    control_master: bool = _setting(
        False, "later connections share the first one (ControlMaster)", recorded=True
    )
    keys_s3: str | None = _setting(
        None, "folder in S3 from which containers read public keys: s3://BUCKET/FOLDER/"
    )
    launch_s3: str | None = _setting(
        None,
        "folder in S3 for what relaunch and launch bring into a job: s3://BUCKET/FOLDER",
        unset="a bucket of the job",
    )
    copy_s3: str | None = _setting(
        None, "bucket in which cp --via s3 hands files over: BUCKET or BUCKET/PREFIX"
    )
    probe: bool = _setting(
        True,
        "while another route is used, test whether this network reaches the container directly",
    )
    allow_loopback: bool = _setting(
        False, "accept a loopback address for a container; for tests only"
    )
    trust_first_use: bool = _setting(
        False, "if the log names no host key, trust the first one; also for single hosts"
    )
    fdpass: bool = _setting(
        True, "let no timeout of ssh end its wait (ProxyUseFdpass); not on Windows", recorded=True
    )
    compression: bool = _setting(
        True, "let ssh compress: faster through SSM, slower on a fast network", recorded=True
    )
    session_ahead: bool = _setting(False, "while a session is in use, the daemon opens the next")
    transfer_hint: bool = _setting(
        True, "mention sm-proxy cp in a long scp, sftp or rsync, once a day"
    )
    launch: LaunchNetwork | None = field(
        default=None,
        metadata=_table("network of new jobs in one region", "the bastion's network"),
    )
    hosts: Mapping[str, Mapping[str, Any]] = field(
        default_factory=dict,
        metadata=_table("settings of single hosts: trust_first_use", "none"),
    )

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


def default_words(name: str) -> str:
    """The default of a setting, as people read it: `15m`, `false`, `as boto3`."""
    item = Settings.__dataclass_fields__[name]
    return str(item.metadata["unset"]) or words(item.default)


def words(value: object) -> str:
    """The value of a setting as people type it; `none` for None."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return durations.form(value) if isinstance(value, int) else str(value)


FLAGS: Final[dict[str, tuple[str, str]]] = {
    item.name: (flag, f"{item.metadata['about']} (default: {default_words(item.name)})")
    for item in fields(Settings)
    if (flag := item.metadata.get("flag"))
}
"""The settings that are an option of every command: metavar and help."""
FILE_ONLY: Final = frozenset(
    item.name for item in fields(Settings) if item.metadata.get("file_only")
)
"""The settings that only config.toml can set."""
RECORDED: Final = tuple(item.name for item in fields(Settings) if item.metadata.get("recorded"))
"""The settings that a context records: see `settings.contexts`."""
IN_PROXY_COMMAND: Final = tuple(name for name in RECORDED if name in FLAGS)
"""The recorded settings that the ProxyCommand carries as options."""


def option(name: str) -> str:
    """The option of a setting: `--ssh-dir` for `ssh_dir`."""
    return f"--{name.replace('_', '-')}"


def variable(name: str) -> str:
    """Our own variable of a setting: `SM_PROXY_SSH_DIR` for `ssh_dir`."""
    return f"SM_PROXY_{name.upper()}"


def aws_variables(name: str) -> tuple[str, ...]:
    """The AWS variables that set it too, the strongest first."""
    found: tuple[str, ...] = Settings.__dataclass_fields__[name].metadata.get("aws", ())
    return found


def aws_profile() -> str | None:
    """The profile that AWS_DEFAULT_PROFILE or AWS_PROFILE names."""
    return next(filter(None, map(os.environ.get, aws_variables("profile"))), None)


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
    return _text(name, value, where) if isinstance(value, str) else _hosts(value, where)


def _hosts(value: Any, where: str) -> Any:
    for host, table in value.items():
        if not isinstance(table, dict):
            raise _bad("hosts", where, f"tables, such as [hosts.{host}]")
        if not isinstance(table.get("trust_first_use", False), bool):
            raise _bad(f"trust_first_use of {host}", where, "true or false, without quotes")
    return value


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

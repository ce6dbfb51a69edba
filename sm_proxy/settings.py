"""Every option in one frozen record: flag, then SM_PROXY_*, then the AWS variable, then the file.

The file is `config.toml` in the settings folder:

    region = "eu-west-1"
    profile = "research"
    bastion = "i-0123456789abcdef0"

    [hosts.sm-myjob]
    trust_first_use = true
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import paths, private_files

FILE_NAME = "config.toml"
WAIT_DEFAULT_S = 15 * 60

SECONDS_LIMIT = 28 * 24 * 60 * 60
"""As long as a training job may run."""

_PATHS = frozenset({"ssh_dir", "identity_file", "identity_agent"})
_DIGITS = re.compile(r"[0-9]{1,7}")
_SHOWN = 20
_PRINTABLE = re.compile(r".+")
_SHAPES = {
    "prefix": (re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*"), "letters, digits, `-`, `_` and `.`"),
    "user": (re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*"), "a user name"),
    "bastion": (re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.-]*"), "an instance id"),
}
_WORDS: dict[type, str] = {str: "a string", dict: "a table"}
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True)
class Settings:
    """What the user asked for, from all four places.

    Attributes:
        prefix: what stands before the job name in a host name.
        profile: AWS profile, or None for botocore's own choice, by AWS_PROFILE among others: a
            profile that is named makes it pass over the keys in the environment.
        region: AWS region, or None for botocore's own choice.
        bastion: instance id of the bastion, or None to find it by tag in the job's VPC.
        user: the user to log in as, for the ssh config block.
        identity_file: the private key for the ssh config block; None for our own.
        identity_agent: socket of the agent that holds the key, or SSH_AUTH_SOCK, for the block;
            None for ssh's own choice.
        keys_s3: folder in S3 (`s3://bucket/keys/`) where containers look for public keys.
        ssh_dir: folder of our ssh files; None for `~/.ssh/sm-proxy`.
        wait: how long `connect` waits for a starting job, in seconds.
        allow_loopback: let a container live on a loopback address (the lab without namespaces).
        trust_first_use: believe whatever host key answers first, where the log names none.
        control_master: let further connections share the first one's, in the ssh config block.
        hosts: settings of single hosts, by host name.
    """

    prefix: str = "sm-"
    profile: str | None = None
    region: str | None = None
    bastion: str | None = None
    user: str = "root"
    identity_file: str | None = None
    identity_agent: str | None = None
    keys_s3: str | None = None
    ssh_dir: str | None = None
    wait: int = WAIT_DEFAULT_S
    allow_loopback: bool = False
    trust_first_use: bool = False
    control_master: bool = False
    hosts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def ssh_folder(self) -> Path:
        """The folder with our ssh config, key and known_hosts.d."""
        if not self.ssh_dir:
            return paths.default_ssh_dir()
        return Path(self.ssh_dir).expanduser().absolute()

    def trusts_first_use(self, host: str) -> bool:
        """Whether the user has asked for it, for this host or for this run."""
        return self.trust_first_use or self.hosts.get(host, {}).get("trust_first_use") is True

    @property
    def named_profile(self) -> str | None:
        """The profile of this run by name, also where it is botocore's own choice."""
        return self.profile or _aws_profile()


_AWS_VARIABLES = {"region": ("AWS_REGION", "AWS_DEFAULT_REGION")}
_AWS_PROFILES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")
_FLAG_ONLY = frozenset({"hosts"})


def load(
    flags: Mapping[str, Any] | None = None, context: Mapping[str, Any] | None = None
) -> Settings:
    """The settings of this run.

    Args:
        flags: those given on the command line (None = not given).
        context: options of the host name's context: they win over the file only.

    Raises:
        SmProxyError: `bad-setting` when a value has the wrong shape, with where it stands.
    """
    result = replace(from_file(), **(context or {}))
    if _aws_profile():
        result = replace(result, profile=None)
    found = {name: value for name in _names() if (value := _from_environment(name)) is not None}
    return replace(result, **{**found, **given(flags or {})})


def load_for(flags: Mapping[str, Any], host: str | None = None) -> Settings:
    """The settings of a command typed by hand: those of `load`, and the context's of `host`.

    The prefix that is given as an option decides; else the longest recorded one that `host`
    begins with; without a host the configured one.
    """
    from sm_proxy.ssh_config import contexts  # noqa: PLC0415 - the ssh path does without

    settings = load(flags)
    known = contexts.read(settings.ssh_folder / "config")
    prefix = settings.prefix
    if host is not None and not (flags.get("prefix") or os.environ.get("SM_PROXY_PREFIX")):
        prefix = contexts.of_host(host, {*known, prefix}) or prefix
    if prefix not in known:
        return settings
    return load(flags, {**known[prefix], "prefix": prefix})


def from_file() -> Settings:
    """What the file says, and else the defaults."""
    return replace(Settings(), **_from_file(paths.config_dir() / FILE_NAME))


def given(flags: Mapping[str, Any], *, own_variables: bool = False) -> dict[str, Any]:
    """The settings among `flags`, and with `own_variables` also those of SM_PROXY_*."""
    variables = {name: os.environ.get(f"SM_PROXY_{name.upper()}") for name in _names()}
    named = {
        name: converted(name, value, f"SM_PROXY_{name.upper()}")
        for name, value in variables.items()
        if own_variables and value
    }
    return named | {
        name: converted(name, flags[name], f"--{name.replace('_', '-')}")
        for name in _names()
        if flags.get(name) is not None
    }


def _names() -> list[str]:
    return [item.name for item in fields(Settings) if item.name not in _FLAG_ONLY]


def _aws_profile() -> str | None:
    return next(filter(None, map(os.environ.get, _AWS_PROFILES)), None)


def flags_of(args: argparse.Namespace) -> dict[str, Any]:
    """The settings among parsed arguments; `--ssh-config PATH` puts our files beside PATH."""
    flags = dict(vars(args))
    if (path := flags.get("ssh_config")) and not flags.get("ssh_dir"):
        flags["ssh_dir"] = str(Path(path).absolute().parent / paths.APP)
    return flags


def _from_environment(name: str) -> Any | None:
    own = f"SM_PROXY_{name.upper()}"
    for variable in (own, *_AWS_VARIABLES.get(name, ())):
        if value := os.environ.get(variable):
            return converted(name, value, variable)
    return None


def _from_file(path: Path) -> dict[str, Any]:
    try:
        private_files.refuse_special(path)
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SmProxyError(
            "bad-setting",
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}",
            "Make it a readable UTF-8 file, or take it away.",
        ) from None
    known = {item.name for item in fields(Settings)}
    table = _parse_toml(text, path)
    if unknown := sorted(set(table) - known):
        names = ", ".join(sorted(known))
        raise SmProxyError("bad-setting", f"{path}: unknown {unknown[0]!r}", f"Known are {names}.")
    return {name: converted(name, value, str(path)) for name, value in table.items()}


def _parse_toml(text: str, path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415 - only where there is a file
    else:
        import tomli as tomllib  # noqa: PLC0415
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SmProxyError(
            "bad-setting", f"{path} is not valid TOML: {error}", "Mend it, or take it away."
        ) from None
    return table


def converted(name: str, value: object, where: str) -> Any:
    """`value` of the setting `name` in its own type; `where` it stands is for the message.

    Raises:
        SmProxyError: `bad-setting`.
    """
    default = getattr(Settings, name, None)
    if isinstance(default, bool):
        return _boolean(name, value, where)
    if isinstance(default, int):
        return _seconds(name, value, where)
    expected: type = dict if name == "hosts" else str
    if not isinstance(value, expected):
        raise _bad(name, where, _WORDS[expected])
    return _text(name, value, where) if isinstance(value, str) else value


def _text(name: str, value: str, where: str) -> str:
    """`value` as it is: most of them end up in the ssh config, where a space starts a new word."""
    pattern, words = _SHAPES.get(name, (_PRINTABLE, "printable text"))
    if not pattern.fullmatch(value) or not value.isprintable():
        raise _bad(name, where, f"{words}, not {value!r}")
    if name in _PATHS and not _has_home(value):
        raise _bad(name, where, f"a path, and nobody has the home folder of {value!r}")
    return value


def _has_home(value: str) -> bool:
    """Whether a tilde that it begins with stands for a folder."""
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


def path(text: str) -> str:
    """A path as an argument of the command line: a shell leaves the tilde in `--ssh-config=~/x`.

    Raises:
        ArgumentTypeError: it is empty, which must not mean the default, or nobody's home.
    """
    if not text or not _has_home(text):
        raise argparse.ArgumentTypeError(f"{printable(text, _SHOWN)!r} is no path")
    return os.path.expanduser(text)  # noqa: PTH111 - a string again


def seconds(text: str, least: int = 0) -> int:
    """A number of seconds as an argument of the command line.

    Raises:
        ArgumentTypeError: it is no whole number, less than `least`, or more than a job may run.
    """
    number = _whole(text)
    if not least <= number <= SECONDS_LIMIT:
        shown = printable(text, _SHOWN)
        raise argparse.ArgumentTypeError(f"{shown!r} is not {least} to {SECONDS_LIMIT} seconds")
    return number


def _seconds(name: str, value: object, where: str) -> int:
    number = _whole(value)
    if not 0 <= number <= SECONDS_LIMIT:
        raise _bad(name, where, f"a number of seconds, {SECONDS_LIMIT} at most")
    return number


def _whole(value: object) -> int:
    """The number that plain digits write, else -1."""
    return int(str(value)) if _DIGITS.fullmatch(str(value)) else -1


def _bad(name: str, where: str, expected: str) -> SmProxyError:
    what = f"{name} in {where} must be {expected}"
    return SmProxyError("bad-setting", what, f"Change {name} there, or take it away.")

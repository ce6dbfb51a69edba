"""Loads settings: from the flag, else SM_PROXY_*, else the AWS variable, else the file.

The file is `config.toml` in the settings folder:

    region = "eu-west-1"
    profile = "research"
    bastion = "i-0123456789abcdef0"

    [launch]
    region = "eu-west-1"
    subnets = ["subnet-0123456789abcdef0"]
    security_groups = ["sg-0123456789abcdef0"]

    [hosts.sm-myjob]
    trust_first_use = true
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths, private_files
from sm_proxy.settings.schema import (
    FILE_ONLY,
    Settings,
    aws_profile,
    aws_variables,
    option,
    validate,
    variable,
)

FILE_NAME = "config.toml"


def load(
    flags: Mapping[str, Any] | None = None, context: Mapping[str, Any] | None = None
) -> Settings:
    """The settings of this run.

    Args:
        flags: values from the command line; None if not given.
        context: options of the host name's context; they override the file only.

    Raises:
        SmProxyError: `bad-setting`, a value is wrong; the message tells where it is set.
    """
    result = replace(from_file(), **(context or {}))
    if aws_profile():
        result = replace(result, profile=None)
    found = {name: value for name in _names() if (value := _from_environment(name)) is not None}
    return replace(result, **{**found, **from_flags(flags or {})})


def load_for(flags: Mapping[str, Any], host: str | None = None) -> Settings:
    """The settings of a command typed by hand: as `load`, with the context of one prefix.

    That is the prefix given as an option or variable; else the longest recorded prefix that `host`
    begins with; else the configured prefix.

    Raises:
        SmProxyError: `bad-setting`, `config-malformed`.
    """
    from sm_proxy.settings import contexts  # noqa: PLC0415 - not on the ssh path

    settings = load(flags)
    known = contexts.read(settings.ssh_config_file)
    prefix = settings.prefix
    if host is not None and not (flags.get("prefix") or os.environ.get("SM_PROXY_PREFIX")):
        prefix = contexts.prefix_of(host, {*known, prefix}) or prefix
    if prefix not in known:
        return settings
    return load(flags, {**known[prefix], "prefix": prefix})


def load_given(given: Mapping[str, Any], host: str) -> Settings:
    """The settings of a call from Python: `load_for`, with the call's keywords as flags.

    Raises:
        SmProxyError: `bad-setting`, also for a keyword that is no setting; `config-malformed`.
    """
    if unknown := given.keys() - (Settings.__dataclass_fields__.keys() - FILE_ONLY):
        raise SmProxyError(
            "bad-setting",
            f"there is no setting {min(unknown)}",
            "See them: `sm-proxy settings`.",
        )
    values = {
        name: validate(name, value, "the call")
        for name, value in given.items()
        if value is not None
    }
    return load_for(values, host)


def load_for_command(args: argparse.Namespace) -> Settings:
    """The settings of a command that a person types, with the context of its HOST if it has one.

    Raises:
        SmProxyError: `bad-setting`, `config-malformed`.
    """
    return load_for(flags_of(args), getattr(args, "host", None))


def load_without_contexts(args: argparse.Namespace) -> Settings:
    """The settings of a command that reads the contexts itself, or does without them.

    Raises:
        SmProxyError: `bad-setting`.
    """
    return load(flags_of(args))


def load_nothing(_: argparse.Namespace) -> Settings:
    """The defaults, for a command that needs no settings: a bad config file must not stop it."""
    return Settings()


def load_folder(args: argparse.Namespace) -> Settings:
    """The defaults, and the folder of our ssh files: for when the other settings cannot be read."""
    return Settings(ssh_dir=flags_of(args).get("ssh_dir") or ssh_dir_of_variables())


def from_file() -> Settings:
    """The settings of the file, with defaults for the rest."""
    return replace(Settings(), **_from_file(config_file()))


def config_file() -> Path:
    """The path of `config.toml`."""
    return paths.config_dir() / FILE_NAME


def from_flags(flags: Mapping[str, Any], *, own_variables: bool = False) -> dict[str, Any]:
    """The settings among `flags`; with `own_variables` also those from SM_PROXY_*."""
    variables = {name: os.environ.get(variable(name)) for name in _names()}
    named = {
        name: validate(name, value, variable(name))
        for name, value in variables.items()
        if own_variables and value
    }
    return named | {
        name: validate(name, flags[name], option(name))
        for name in _names()
        if flags.get(name) is not None
    }


def flags_of(args: argparse.Namespace) -> dict[str, Any]:
    """The settings among parsed arguments; `--ssh-config PATH` puts our files beside PATH."""
    flags = dict(vars(args))
    if (path := flags.get("ssh_config")) and not flags.get("ssh_dir"):
        flags["ssh_dir"] = str(Path(path).absolute().parent / paths.APP)
    return flags


def _names() -> list[str]:
    return [item.name for item in fields(Settings) if item.name not in FILE_ONLY]


def _from_environment(name: str) -> Any | None:
    own = variable(name)
    if name == "ssh_dir":
        value = ssh_dir_of_variables()
        return None if value is None else validate(name, value, own)
    # botocore itself reads AWS_PROFILE, with its own rule for keys in the environment.
    others = () if name == "profile" else aws_variables(name)
    for source in (own, *others):
        if value := os.environ.get(source):
            return validate(name, value, source)
    return None


def ssh_dir_of_variables() -> str | None:
    """SM_PROXY_SSH_DIR, else the folder beside the config that SM_PROXY_SSH_CONFIG names."""
    if named := os.environ.get("SM_PROXY_SSH_DIR"):
        return named
    config = paths.named_ssh_config()
    return str(config.parent / paths.APP) if config else None


def read_text(path: Path) -> str:
    """The text of `config.toml`; empty if there is no such file.

    Raises:
        SmProxyError: `bad-setting`, it cannot be read, or is not UTF-8.
    """
    try:
        private_files.refuse_special(path)
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SmProxyError(
            "bad-setting",
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}",
            "Make it a readable UTF-8 file, or remove it.",
        ) from None


def checked(name: str, value: object, where: str, path: Path) -> Any:
    """The value of one setting of the file, converted to its type.

    Args:
        name: its key in the file.
        value: as the TOML parser returns it.
        where: its place, for the error message.
        path: the file.

    Raises:
        SmProxyError: `bad-setting`, there is no such setting, or the value is wrong.
    """
    known = {item.name for item in fields(Settings)}
    if name not in known:
        raise SmProxyError("bad-setting", f"{path}: unknown {name!r}", _way_out(name, known))
    if name != "launch":
        return validate(name, value, where)
    from sm_proxy.settings import launch_table  # noqa: PLC0415 - only if there is one

    return launch_table.parse(value, where)


def _way_out(name: str, known: Iterable[str]) -> str:
    """What to do about an unknown key of the file."""
    from sm_proxy.local import suggestion  # noqa: PLC0415 - only after a mistake

    remedy = f"Correct it, or remove it: sm-proxy settings --unset {shlex.quote(name)}"
    return f"{suggestion.sentence(name, known)} {remedy}".lstrip()


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """The parsed text of `config.toml`.

    Raises:
        SmProxyError: `bad-setting`, it is not TOML.
    """
    if not text:
        return {}
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415 - only if there is a file
    else:
        import tomli as tomllib  # noqa: PLC0415
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SmProxyError(
            "bad-setting", f"{path} is not valid TOML: {error}", "Fix it, or remove it."
        ) from None
    return table


def _from_file(path: Path) -> dict[str, Any]:
    table = parse_toml(read_text(path), path)
    return {name: checked(name, table[name], str(path), path) for name in sorted(table)}

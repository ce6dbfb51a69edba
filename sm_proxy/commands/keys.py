"""`sm-proxy keys`: the keys that ssh offers, and their public keys, which jobs must accept."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from sm_proxy import config_writer
from sm_proxy.commands import options
from sm_proxy.errors import SmProxyError
from sm_proxy.identity import identities, key_files, passphrases
from sm_proxy.identity.identities import Identity
from sm_proxy.identity.key_files import Pair
from sm_proxy.local import layout, secret_store
from sm_proxy.local.layout import Row
from sm_proxy.local.output import Result
from sm_proxy.local.screen import Screen
from sm_proxy.settings import Settings, durations

DESCRIPTION: Final = (
    "Shows, replaces and removes the ssh key that ssh offers and that jobs must accept. "
    "`setup` has made one."
)
EXAMPLES: Final = (
    ("sm-proxy keys show --env", "for the Environment of a job"),
    ("sm-proxy keys rotate", "make a new key"),
    ("sm-proxy keys load --lifetime 8h", "give it to your ssh-agent"),
)
USES: Final = ()
_LOCAL: Final = ("ssh_dir",)
_WITH_S3: Final = (*options.USES_AWS, "ssh_dir")
_HELP: Final[dict[str, dict[str, Any]]] = {
    "show": {
        "help": "print the public key; make a key if there is none",
        "description": "Prints the public key, and makes a key if there is none. Jobs that you"
        " start yourself need it in their Environment.",
        "examples": (
            ("sm-proxy keys show", "the public key"),
            ("sm-proxy keys show --env", "as variables for a job"),
        ),
        "uses": _LOCAL,
    },
    "list": {
        "help": "list the keys that ssh offers, the current one first",
        "description": "Lists the keys that ssh offers to containers, the current one first. Older"
        " ones are for jobs that accept only these.",
        "examples": (("sm-proxy keys list", "fingerprints and files"),),
        "uses": _LOCAL,
    },
    "rotate": {
        "help": "make a new key; ssh also offers the old one, for running jobs",
        "description": "Makes a new key. ssh also offers the old one until `keys revoke`, so that"
        " you can still get into running jobs.",
        "examples": (
            ("sm-proxy keys rotate", "of the same kind as the old one"),
            ("sm-proxy keys rotate --passphrase", "with a passphrase in the keyring"),
        ),
        "uses": _WITH_S3,
        "hides": ("identity_file",),  # both change our keys only
    },
    "revoke": {
        "help": "remove a key from this machine, and show what else to do",
        "description": "Removes a key from this machine, and shows how to lock out anyone who has a"
        " copy. By default, it removes all keys but the current one.",
        "examples": (
            ("sm-proxy keys revoke", "after a rotation"),
            ("sm-proxy keys revoke current", "if it may have been stolen"),
        ),
        "uses": _WITH_S3,
        "hides": ("identity_file",),
    },
    "load": {
        "help": "add the keys to your ssh-agent, for some hours",
        "description": "Adds our keys to your ssh-agent, and asks for a passphrase if they have"
        " one. For editors, which cannot ask.",
        "examples": (("sm-proxy keys load --lifetime 8h", "for a day's work"),),
        "uses": _LOCAL,
        "hides": ("identity_file",),
    },
    "push": {
        "help": "write the public key to the S3 folder that running containers read",
        "description": "Writes the public key to the folder in S3 from which running containers"
        " read keys (SM_PROXY_KEYS_S3). They accept it within a minute.",
        "examples": (("sm-proxy keys push --keys-s3 s3://bucket/keys/", "let this machine in"),),
        "uses": _WITH_S3,
    },
}
"""What `add_parser` takes for each action."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`keys show|list|rotate|revoke|load|push [--ssh-config PATH] [--json]`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    made = {}
    for name, shown in _HELP.items():
        made[name] = action = actions.add_parser(name, **shown)
        options.add_json(action)
        action.add_argument("--identity-file", metavar="PATH", help="your own key instead of ours")
        options.add_ssh_config(action, "the ssh config file that the key belongs to")
    made["show"].add_argument(
        "--env", action="store_true", help="as NAME=VALUE for the Environment of a job request"
    )
    made["revoke"].add_argument(
        "key",
        nargs="?",
        help="fingerprint, path, or `current`; default: all but the current one",
    )
    for name in ("rotate", "revoke"):
        made[name].add_argument(
            "--passphrase",
            nargs="?",
            choices=passphrases.MODES,
            const="auto",
            help="for the new key: random (kept in the keyring), ask, or none; default: as the old",
        )
    made["load"].add_argument(
        "--lifetime",
        default="8h",
        metavar="DURATION",
        help="how long the agent keeps the keys (default: 8h; 0: until the agent ends)",
    )
    for name in ("rotate", "revoke", "push"):
        made[name].add_argument(
            "--keys-s3", metavar="URL", help="the S3 folder that containers read: s3://bucket/keys/"
        )


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Run the action."""
    return _ACTIONS[args.action](args, settings)


def _show(args: argparse.Namespace, settings: Settings) -> Result:
    key = identities.ensure(settings)
    variables = identities.environment(identities.offered(settings)) if args.env else {}
    data = {"path": str(key.path), "public_key": key.public_key, "environment": variables}
    return Result(data, _assignments(variables) if args.env else key.public_key)


def _list(_: argparse.Namespace, settings: Settings) -> Result:
    keys = identities.offered(settings)
    rows = [
        Row(("current" if key is keys[0] else "old", key.fingerprint), str(key.path))
        for key in keys
    ]
    return Result({"keys": _data(keys)}, partial(_table, rows))


def _table(rows: Sequence[Row], screen: Screen) -> str:
    return "\n".join(layout.table((), rows, screen, notes=""))


def _rotate(args: argparse.Namespace, settings: Settings) -> Result:
    from sm_proxy.identity import rotation  # noqa: PLC0415 - imports cryptography

    new, old = rotation.rotate(
        settings, config_writer.offer_keys, lambda: _new_pair(args, settings)
    )
    keys = identities.offered(settings)
    pushed = _pushed(settings, [new])
    variables = identities.environment(keys)
    lines = [
        f"new key {new.fingerprint} ({new.path})",
        f"ssh also offers the old key, for jobs that accept only that: {old.fingerprint}",
        *(f"uploaded {address}" for address in pushed),
        "New jobs accept the new key if their Environment has:",
        f"    {_assignments(identities.environment([new]))}",
        f"When no job needs the old key, run: sm-proxy keys revoke {old.fingerprint}",
    ]
    return Result({"keys": _data(keys), "environment": variables, "s3": pushed}, tuple(lines))


def _revoke(args: argparse.Namespace, settings: Settings) -> Result:
    from sm_proxy.identity import rotation  # noqa: PLC0415 - imports cryptography

    removed: list[str] = []
    encrypted: list[Identity] = []
    still_in_agent: list[str] = []

    def before(gone: Sequence[Identity]) -> None:
        from sm_proxy.identity import s3, ssh_agent  # noqa: PLC0415 - imports botocore

        if settings.keys_s3:
            aws = _aws(settings)
            removed.extend(s3.remove(aws, settings.keys_s3, key) for key in gone)
        for key in gone:
            try:
                ssh_agent.forget(key, settings.identity_agent)
            except SmProxyError as error:  # noqa: PERF203 - one or two
                still_in_agent.extend(_left_in_agent(key, error))
        encrypted.extend(key for key in gone if _is_encrypted(key))

    gone, left = rotation.revoke(
        settings, args.key, config_writer.offer_keys, before, lambda: _new_pair(args, settings)
    )
    for key in encrypted:
        if not secret_store.is_locked():  # it would open its window again
            passphrases.forget(key)
    lines = [f"removed from this machine: {key.fingerprint} ({key.path})" for key in gone]
    lines += [f"deleted {address}" for address in removed]
    if left[0].path in {key.path for key in gone}:
        lines.append(f"new key in its place: {left[0].fingerprint}")
    lines += ["To lock out anyone who has a copy of the private key, also:", *_left_to_do(removed)]
    lines += still_in_agent
    if encrypted and (why := secret_store.trouble()):
        lines.append(f"a passphrase stays in the keyring ({why}); without its key it opens nothing")
    data = {
        "revoked": _data(gone),
        "keys": _data(left),
        "environment": identities.environment(left),
        "s3": removed,
        "agent": not still_in_agent,
    }
    return Result(data, tuple(lines))


def _left_in_agent(key: Identity, error: SmProxyError) -> tuple[str, str]:
    return (
        f"  - {error.message}: if an agent holds the key, remove it on the agent's machine with:",
        f"    echo {shlex.quote(key.public_key)} | ssh-add -d -",
    )


def _left_to_do(removed: list[str]) -> list[str]:
    lines = [
        "  - remove the key from the Environment (SM_PROXY_AUTHORIZED_KEY, _2, ...) of new jobs",
        "  - running jobs accept it until they end: stop them if the key may have been stolen",
    ]
    if removed:
        return [
            *lines,
            "  - containers that read keys from S3 drop it within a minute; open sessions stay",
        ]
    return [*lines, "  - if it is in S3 (SM_PROXY_KEYS_S3), delete that object"]


def _load(args: argparse.Namespace, settings: Settings) -> Result:
    from sm_proxy.identity import ssh_agent  # noqa: PLC0415 - only here

    lifetime = _lifetime(args.lifetime)
    if settings.identity_file:
        raise SmProxyError(
            "unsupported",
            f"{settings.identity_file} is your own key; `keys load` loads only ours",
            f"Load it with: ssh-add {settings.identity_file}",
        )
    keys = identities.offered(settings)
    for key in keys:
        passphrase = passphrases.find_or_ask(key) if _is_encrypted(key) else None
        ssh_agent.load(key, passphrase, lifetime, settings.identity_agent)
    until = f" for {args.lifetime}" if lifetime else ""
    lines = [f"loaded into the agent{until}: {key.fingerprint}" for key in keys]
    return Result({"keys": _data(keys), "lifetime": lifetime}, tuple(lines))


def _lifetime(text: str) -> int:
    try:
        return durations.parse(text, most=durations.LONGEST_LIFETIME_S)
    except ValueError as error:
        what = f"--lifetime must be {error}"
        raise SmProxyError("bad-setting", what, "Give --lifetime another value.") from None


def _new_pair(args: argparse.Namespace, settings: Settings) -> Pair:
    """The new key's pair, with a passphrase if requested, or else if the current key has one."""
    mode = args.passphrase
    if mode is None:
        path = identities.private_key_path(settings)
        mode = "auto" if _is_encrypted(identities.read_identity(path)) else "none"
    return passphrases.make_pair(mode)


def _is_encrypted(key: Identity) -> bool:
    return key_files.is_encrypted(key_files.read(key.path).private)


def _push(_: argparse.Namespace, settings: Settings) -> Result:
    if not settings.keys_s3:
        raise SmProxyError(
            "bad-setting", "no S3 folder is set", "Name one with --keys-s3 s3://bucket/keys/."
        )
    key = identities.ensure(settings)
    pushed = _pushed(settings, [key])
    return Result({"keys": _data([key]), "s3": pushed}, f"uploaded {pushed[0]}")


def _pushed(settings: Settings, keys: Sequence[Identity]) -> list[str]:
    if not settings.keys_s3:
        return []
    from sm_proxy.identity import s3  # noqa: PLC0415 - imports botocore

    aws = _aws(settings)
    return [s3.push(aws, settings.keys_s3, key) for key in keys]


def _aws(settings: Settings) -> Any:
    from sm_proxy.aws.clients import Aws  # noqa: PLC0415 - takes 200 ms

    return Aws(settings.profile, settings.region)


def _assignments(variables: dict[str, str]) -> str:
    return "\n".join(f"{name}={value}" for name, value in variables.items())


def _data(keys: Sequence[Identity]) -> list[dict[str, Any]]:
    return [
        {"path": str(key.path), "fingerprint": key.fingerprint, "public_key": key.public_key}
        for key in keys
    ]


_ACTIONS: Final[dict[str, Callable[[argparse.Namespace, Settings], Result]]] = {
    "show": _show,
    "list": _list,
    "rotate": _rotate,
    "revoke": _revoke,
    "load": _load,
    "push": _push,
}

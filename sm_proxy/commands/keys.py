"""`sm-proxy keys`: the keys that ssh offers, and the public ones that a job has to let in."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from sm_proxy import settings as settings_module
from sm_proxy.keys import identity
from sm_proxy.keys.identity import Identity
from sm_proxy.output import Result
from sm_proxy.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`keys show|list|rotate|revoke|push [--ssh-config PATH] [--json]`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    made = {}
    for name, (_, text) in _ACTIONS.items():
        made[name] = action = actions.add_parser(name, help=text)
        action.add_argument("--json", action="store_true", help="one JSON envelope on stdout")
        action.add_argument("--identity-file", metavar="PATH", help="your own key instead of ours")
        action.add_argument("--ssh-config", metavar="PATH", help="the config file it goes with")
    made["show"].add_argument(
        "--env", action="store_true", help="as NAME=VALUE for the Environment of a job request"
    )
    made["revoke"].add_argument(
        "key", nargs="?", help="fingerprint, path or `current`; else all before the current one"
    )
    for name in ("rotate", "revoke", "push"):
        made[name].add_argument(
            "--keys-s3", metavar="URL", help="s3://bucket/keys/ that containers look at, too"
        )


def run(args: argparse.Namespace) -> Result:
    """Do what the action says."""
    action, _ = _ACTIONS[args.action]
    return action(args, settings_module.load_for(settings_module.flags_of(args)))


def _show(args: argparse.Namespace, settings: Settings) -> Result:
    key = identity.ensure(settings)
    variables = identity.environment(identity.identities(settings)) if args.env else {}
    data = {"path": str(key.path), "public_key": key.public_key, "environment": variables}
    return Result(data, _assignments(variables) if args.env else key.public_key)


def _list(_: argparse.Namespace, settings: Settings) -> Result:
    keys = identity.identities(settings)
    lines = [
        f"{'current' if key is keys[0] else 'before':8} {key.fingerprint}  {key.path}"
        for key in keys
    ]
    return Result({"keys": _data(keys)}, "\n".join(lines))


def _rotate(_: argparse.Namespace, settings: Settings) -> Result:
    from sm_proxy.keys import rotation  # noqa: PLC0415 - with cryptography

    new, old = rotation.rotate(settings)
    keys = identity.identities(settings)
    pushed = _pushed(settings, [new])
    variables = identity.environment(keys)
    lines = [
        f"new key {new.fingerprint} ({new.path})",
        f"ssh offers the old one too, for jobs that know no other: {old.fingerprint}",
        *(f"put {address}" for address in pushed),
        "New jobs take it from their Environment:",
        f"    {_assignments(identity.environment([new]))}",
        f"When no job needs the old one any more: sm-proxy keys revoke {old.fingerprint}",
    ]
    return Result({"keys": _data(keys), "environment": variables, "s3": pushed}, "\n".join(lines))


def _revoke(args: argparse.Namespace, settings: Settings) -> Result:
    from sm_proxy.keys import rotation  # noqa: PLC0415 - with cryptography

    removed: list[str] = []

    def before(gone: Sequence[Identity]) -> None:
        if settings.keys_s3:
            from sm_proxy.keys import bucket  # noqa: PLC0415 - with botocore

            aws = _aws(settings)
            removed.extend(bucket.remove(aws, settings.keys_s3, key) for key in gone)

    gone, left = rotation.revoke(settings, args.key, before)
    lines = [f"removed from this machine: {key.fingerprint} ({key.path})" for key in gone]
    lines += [f"deleted {address}" for address in removed]
    if left[0].path in {key.path for key in gone}:
        lines.append(f"new key in its place: {left[0].fingerprint}")
    lines += ["Still to be done, for whoever has a copy of the private key:", *_left_to_do(removed)]
    data = {
        "revoked": _data(gone),
        "keys": _data(left),
        "environment": identity.environment(left),
        "s3": removed,
    }
    return Result(data, "\n".join(lines))


def _left_to_do(removed: list[str]) -> list[str]:
    lines = [
        "  - take the key out of the Environment (SM_PROXY_AUTHORIZED_KEY, _2, ...) of new jobs",
        "  - jobs that run keep it until they end, as their Environment cannot be changed:",
        "    stop them if the key is in wrong hands",
    ]
    if removed:
        return [
            *lines,
            "  - containers that look into S3 drop it within a minute; open sessions stay",
        ]
    return [*lines, "  - if you have put it into S3 (SM_PROXY_KEYS_S3), delete that object"]


def _push(_: argparse.Namespace, settings: Settings) -> Result:
    if not settings.keys_s3:
        from sm_proxy.errors import SmProxyError  # noqa: PLC0415

        raise SmProxyError(
            "bad-setting", "no folder in S3 is named", "Say where: --keys-s3 s3://bucket/keys/"
        )
    key = identity.ensure(settings)
    pushed = _pushed(settings, [key])
    return Result({"keys": _data([key]), "s3": pushed}, f"put {pushed[0]}")


def _pushed(settings: Settings, keys: Sequence[Identity]) -> list[str]:
    if not settings.keys_s3:
        return []
    from sm_proxy.keys import bucket  # noqa: PLC0415 - with botocore

    aws = _aws(settings)
    return [bucket.push(aws, settings.keys_s3, key) for key in keys]


def _aws(settings: Settings) -> Any:
    from sm_proxy.aws.clients import Aws  # noqa: PLC0415 - 200 ms

    return Aws(settings.profile, settings.region)


def _assignments(variables: dict[str, str]) -> str:
    return "\n".join(f"{name}={value}" for name, value in variables.items())


def _data(keys: Sequence[Identity]) -> list[dict[str, Any]]:
    return [
        {"path": str(key.path), "fingerprint": key.fingerprint, "public_key": key.public_key}
        for key in keys
    ]


_ACTIONS = {
    "show": (_show, "print the public key, made now if there is none"),
    "list": (_list, "the keys that ssh offers, the current one first"),
    "rotate": (_rotate, "make a new key; the old one is offered too, for running jobs"),
    "revoke": (_revoke, "remove a key from this machine, and say what else is to be done"),
    "push": (_push, "put the public key where running containers look for it"),
}

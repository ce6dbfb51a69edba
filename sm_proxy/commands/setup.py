"""`sm-proxy setup`: prepares a laptop for `ssh sm-<job>`; safe to run again."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from sm_proxy import config_writer
from sm_proxy.aws.clients import Aws
from sm_proxy.commands import options
from sm_proxy.completion import install, scripts
from sm_proxy.errors import SmProxyError
from sm_proxy.identity import identities, key_files, passphrases
from sm_proxy.identity.identities import Identity
from sm_proxy.identity.key_files import Pair
from sm_proxy.local import layout, output, paths, private_files, prompt
from sm_proxy.local.output import Result
from sm_proxy.local.screen import Screen
from sm_proxy.routes import inside_vpc
from sm_proxy.settings import Settings, contexts, flags_of, load, load_for
from sm_proxy.settings.sources import from_flags
from sm_proxy.setup import answers, steps
from sm_proxy.setup.steps import Step
from sm_proxy.ssh_config import requested

DESCRIPTION: Final = (
    "Makes an ssh key, writes the ssh config block for sm-*, and checks your AWS credentials."
    " Run it once on each machine, and again at any time: it changes only what is missing."
)
EXAMPLES: Final = (
    ("sm-proxy setup", "asks what it must know"),
    ("sm-proxy setup --profile dev --yes", "asks nothing"),
    ("sm-proxy setup --prefix eu- --region eu-west-1", "a second region, as eu-myjob"),
)
USES: Final = options.USES_BLOCK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`setup [--user USER] [--identity-file PATH] [--ssh-config PATH] [--yes] [--json]`."""
    options.add_identity(parser)
    parser.add_argument(
        "--passphrase",
        nargs="?",
        choices=passphrases.MODES,
        const="auto",
        help="for a new key: random (kept in the keyring), ask, or none",
    )
    options.add_wait(parser)
    options.add_compression(parser)
    options.add_ssh_config(parser)
    parser.add_argument("--yes", action="store_true", help="ask nothing, use the defaults")
    options.add_json(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Choose the settings, write the files, check them, and show the next command."""
    ask = None if args.yes else answers.terminal_asker()
    flags = flags_of(args) | answers.ask_missing(settings, ask)
    settings = load_for(flags)
    flags |= _fitting_compression(settings, flags)
    ssh_config = Path(args.ssh_config) if args.ssh_config else None
    key = identities.ensure(settings, lambda: _new_pair(args.passphrase))
    taken = [
        _key_step(key, args.passphrase),
        _written(flags, ssh_config or paths.user_ssh_config()),
    ]
    taken += _completion(may_ask=ask is not None)
    settings = load_for(flags)  # now with the context that was just written
    taken.append(steps.run_step("ssh", lambda: steps.ssh(settings, ssh_config)))
    taken += _outside(settings)
    taken = [
        replace(step, reason=output.completed(step.reason), fix=output.completed(step.fix))
        for step in taken
    ]
    failure = next((step.failure for step in taken if step.failure), None)
    after = f"ssh {settings.prefix}<job>" if failure is None else _again(flags)
    data = {
        "checks": [step.data() for step in taken],
        "environment": key.environment() if key.fits_environment else {},
        "next": after,
    }
    return Result(
        data,
        partial(_text, taken, data),
        exit_status=1 if failure else 0,
        failure=failure,
        text_has_failure=True,
    )


def _fitting_compression(settings: Settings, flags: Mapping[str, Any]) -> dict[str, bool]:
    """Inside a VPC, ssh goes at the network's speed, and compressing would slow it down."""
    recorded = contexts.read(settings.ssh_config_file).get(settings.prefix, {})
    if "compression" in {**from_flags(flags, own_variables=True), **recorded}:
        return {}
    inside = inside_vpc.own_vpcs(Aws(settings.profile, settings.region)) is not None
    return {"compression": False} if inside else {}


def _new_pair(mode: passphrases.Mode | None) -> Pair:
    return passphrases.make_pair(mode or "none")


def _key_step(key: Identity, mode: passphrases.Mode | None) -> Step:
    if key.fits_environment:
        return Step("key", "passed", _key_message(key, mode))
    return Step(
        "key",
        "warning",
        f"{key.path} is too long for the Environment of a job",
        "It logs in where the image has it. For other jobs use an ed25519 key, or none: then we"
        " make one",
    )


def _key_message(key: Identity, mode: passphrases.Mode | None) -> str:
    if mode in {None, "none"} or not private_files.exists(key.path):
        return str(key.path)
    if not key_files.is_encrypted(key_files.read(key.path).private):
        return f"{key.path}, without a passphrase (set one: sm-proxy keys rotate --passphrase)"
    return f"{key.path}, with a passphrase (load it into your agent: sm-proxy keys load)"


def _written(flags: Mapping[str, Any], ssh_config: Path) -> Step:
    """Write the config, as `config write` does.

    Raises:
        SmProxyError: `config-malformed`, `config-read-only`.
    """
    settings = load(flags)
    requested.prepare(settings, flags)
    changes = config_writer.carry_out(
        lambda: config_writer.plan_requested(ssh_config, settings, flags)
    )
    done = [str(change.path) for change in changes if change.needed]
    return Step("config", "passed", f"wrote {', '.join(done)}" if done else "up to date")


def _completion(*, may_ask: bool) -> list[Step]:
    """Offer completion at TAB, and bring an earlier script up to date; without an answer, nothing.

    `--yes` does not install it: no file of a shell is changed for a user who has not read of it.
    """
    try:
        shell = scripts.login_shell()
        if shell is None or install.is_current(shell):
            return []
        if install.is_there(shell):
            install.install(shell)
            return [Step("completion", "passed", f"brought the script for {shell} up to date")]
        if not may_ask:
            return []
        place = scripts.place(shell)
        line = f", and a line in {place.startup}" if place.startup else ""
        if not prompt.confirm(
            f"Install tab completion of sm-proxy for {shell}? It writes {place.script}{line}."
        ):
            return [Step("completion", "skipped", "later: sm-proxy completion install")]
        install.install(shell)
    except SmProxyError as error:  # ssh works without it
        return [Step("completion", "warning", error.message, error.hint)]
    return [Step("completion", "passed", f"new {shell} shells complete sm-proxy at TAB")]


def _outside(settings: Settings) -> list[Step]:
    """The checks that call AWS."""
    aws = Aws(settings.profile, settings.region)
    first = steps.run_step("credentials", lambda: steps.credentials(aws))
    if first.failure:
        return [first, Step("bastion", "skipped", "it needs credentials")]
    return [first, steps.run_step("bastion", lambda: steps.bastion(aws, settings))]


def _again(flags: Mapping[str, Any]) -> str:
    """The command line for this prefix, which may be an answer, with the options of this run."""
    prefix = ["--prefix", flags["prefix"]] if flags.get("prefix") else []
    return output.completed(shlex.join(["sm-proxy", "setup", *prefix]))


def _text(taken: list[Step], data: dict[str, Any], screen: Screen) -> str:
    lines = layout.pairs([step.row for step in taken], screen)
    lines += (
        ["", "Add to the Environment of jobs that `launch` does not start:"]
        if data["environment"]
        else []
    )
    lines += [f"    {name}={value}" for name, value in data["environment"].items()]
    lines += ["", output.completed(f"Next: sm-proxy list, then {data['next']}")]
    if any(step.failure for step in taken):
        lines[-1] = f"Next: fix the failed checks, then run again: {data['next']}"
    lines[-1:] = layout.paragraph(lines[-1], screen)
    return "\n".join(lines)

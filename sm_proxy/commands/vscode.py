"""`sm-proxy vscode`: opens a folder of a container in VS Code, or an editor of its family."""

from __future__ import annotations

import argparse
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.commands import options
from sm_proxy.editors import catalog, launch, settings_file
from sm_proxy.editors.catalog import Editor
from sm_proxy.editors.settings_file import Outcome
from sm_proxy.errors import SmProxyError
from sm_proxy.inventory import trial
from sm_proxy.jobs.hostname import Target
from sm_proxy.local import output
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings
from sm_proxy.settings.schema import WAIT_DEFAULT_S
from sm_proxy.ssh_config.effective import effective_options

_PLATFORM = "remote.SSH.remotePlatform"
_TIMEOUT = "remote.SSH.connectTimeout"
_PATIENCE_S = WAIT_DEFAULT_S + 60
"""Seconds for ssh itself: the wait for a starting job, and one minute for the connection."""

DESCRIPTION: Final = (
    "Waits until ssh can reach a container, then opens one of its folders in VS Code, Cursor "
    "or another editor of that family."
)
EXAMPLES: Final = (
    ("sm-proxy vscode sm-myjob", "the editor asks for a folder"),
    ("sm-proxy vscode sm-myjob /opt/ml/code", "open this folder"),
    ("sm-proxy vscode sm-myjob --editor cursor", "in another editor"),
)
USES: Final = options.USES_SSH


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`vscode HOST [PATH] [--editor NAME] [--no-wait] [--timeout DURATION] [--global-timeout]`."""
    options.add_host(parser)
    parser.add_argument(
        "path", metavar="PATH", nargs="?", type=_absolute, help="a folder in the container"
    )
    parser.add_argument(
        "--editor",
        choices=catalog.NAMES,
        help="the editor (default: the first one found on this machine)",
    )
    parser.add_argument(
        "--no-wait", action="store_true", help="do not wait until ssh can reach the container"
    )
    options.add_timeout(parser)
    parser.add_argument(
        "--global-timeout",
        action="store_true",
        help=f"also set {_TIMEOUT}, which applies to every host",
    )
    options.add_json(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Wait, write the host's platform into the editor's settings, and open the window."""
    target = options.target_of(args, settings)
    editor, program = catalog.find_installed(
        [catalog.by_name(args.editor)] if args.editor else catalog.EDITORS
    )
    user = None if args.no_wait else _awaited_user(target, settings, args.timeout)
    outcome = _prepared(editor, args.host, global_timeout=args.global_timeout)
    words = launch.editor_command(program, args.host, args.path, user)
    launch.start(words)
    data = {
        "editor": editor.name,
        "command": words,
        "settings": {
            "path": str(outcome.path),
            "changed": outcome.changed,
            "problem": outcome.problem or None,
        },
    }
    return Result(data, f"opened {args.host} in {editor.title}")


def _absolute(path: str) -> str:
    if not path.startswith("/") or not path.isprintable():
        raise argparse.ArgumentTypeError(f"not an absolute path in the container: {path!r}")
    return path


def _awaited_user(target: Target, settings: Settings, seconds: float) -> str | None:
    """Wait until ssh can reach it; the container's user, if ssh would log in as another."""
    aws = Aws(settings.profile, settings.region)
    # The editor gives ssh 15 s, so everything that takes longer must happen before.
    with trial.no_session_left_open():
        found = trial.wait_until_answering(target, settings, aws, seconds, output.status)
    if found.user is None:
        return None
    try:
        configured = effective_options(target.host).get("user")
    except SmProxyError as error:
        output.status(error.text)
        return None
    return None if configured == found.user else found.user


def _prepared(editor: Editor, host: str, *, global_timeout: bool) -> Outcome:
    """Tell the editor that the host runs Linux; otherwise it asks for every new host."""
    values: list[tuple[list[str], object]] = [([_PLATFORM, host], "linux")]
    if global_timeout:
        values.append(([_TIMEOUT], _PATIENCE_S))
    outcome = settings_file.set_values(catalog.user_settings(editor), values)
    if outcome.problem:
        output.status(
            f"{outcome.path} was not changed: {outcome.problem}. "
            f'Add by hand: "{_PLATFORM}": {{"{host}": "linux"}}'
        )
    if outcome.config_file:
        output.status(
            f"{editor.title} reads {outcome.config_file} (remote.SSH.configFile), which needs our "
            f"Include: sm-proxy config write --ssh-config {outcome.config_file}"
        )
    return outcome

"""`sm-proxy completion`: prints, installs or removes what TAB completes in bash, zsh and fish."""

from __future__ import annotations

import argparse
from typing import Final

from sm_proxy.commands import options
from sm_proxy.completion import install, scripts
from sm_proxy.completion.scripts import SHELLS
from sm_proxy.errors import SmProxyError
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings, sources

DESCRIPTION: Final = (
    "Makes TAB complete commands, options, profiles, regions and host names, in bash, zsh and fish."
    " Host names are those that `sm-proxy list` has shown: TAB makes no call to AWS."
)
EXAMPLES: Final = (
    ("sm-proxy completion install", "for your login shell"),
    ("sm-proxy completion zsh", "print the script, to put it somewhere yourself"),
    ("sm-proxy completion uninstall", "remove it, for all shells"),
)
USES: Final = ()
_INSTALLING: Final = (
    (
        "install",
        "write the script where the shell finds it",
        (
            "Writes the script into the shell's own folder of completions. If the shell reads none,"
            " a line in its start-up file reads the script."
        ),
        (
            ("sm-proxy completion install", "for your login shell"),
            ("sm-proxy completion install bash", "for another one"),
        ),
        "your login shell",
    ),
    (
        "uninstall",
        "remove what `install` wrote",
        "Removes the scripts, and gives start-up files their old bytes back.",
        (("sm-proxy completion uninstall", "for all shells"),),
        "all",
    ),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`completion bash|zsh|fish|install|uninstall [SHELL] [--json]`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    for shell in SHELLS:
        printing = actions.add_parser(
            shell,
            help=f"print the script for {shell}",
            description=f"Prints the script that makes TAB in {shell} ask sm-proxy.",
            examples=((f"sm-proxy completion {shell}", "to read it, or to put it somewhere"),),
            uses=(),
        )
        options.add_json(printing)
    for name, text, description, examples, default in _INSTALLING:
        action = actions.add_parser(
            name, help=text, description=description, examples=examples, uses=()
        )
        action.add_argument(
            "shell", nargs="?", choices=SHELLS, help=f"the shell (default: {default})"
        )
        options.add_json(action)


load_settings = sources.load_nothing


def run(args: argparse.Namespace, _: Settings) -> Result:
    """Print, install or remove; data: `{"shell", "script"}`, or `{"changed": [paths]}`.

    Raises:
        SmProxyError: `usage`, the login shell is another one; as `install` and `uninstall`.
    """
    if args.action in SHELLS:
        script = scripts.text(args.action)
        return Result({"shell": args.action, "script": script}, script)
    if args.action == "uninstall":
        asked = [args.shell] if args.shell else SHELLS
        changed = [str(path) for shell in asked for path in install.uninstall(shell)]
        text = "\n".join(f"removed ours from {path}" for path in changed)
        return Result({"changed": changed}, text or "nothing to do")
    shell = args.shell or scripts.login_shell()
    if shell is None:
        raise SmProxyError(
            "usage",
            "your login shell ($SHELL) is not bash, zsh or fish",
            "Name one: `sm-proxy completion install bash`.",
        )
    changed = [str(path) for path in install.install(shell)]
    lines = [*(f"wrote {path}" for path in changed), f"New {shell} shells have it."]
    return Result({"changed": changed}, tuple(lines) if changed else "up to date")

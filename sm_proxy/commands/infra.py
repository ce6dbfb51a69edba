"""`sm-proxy infra`: the network, the bastion and the roles, as one CloudFormation stack.

Each action is a module `infra_<name>` with `add_arguments(parser)` and `run(args, settings)`. Only
the module of the given action is imported.
"""

from __future__ import annotations

import argparse
import importlib
from typing import Any, Final

from sm_proxy.errors import SmProxyError
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings

ACTIONS: Final[dict[str, str]] = {
    "deploy": "make the stack, or bring it up to date",
    "status": "show the stack, its bastion, the jobs in its network, its cost and drift",
    "pause": "end the bastion, and keep everything else",
    "resume": "start a bastion again",
    "delete": "remove the stack, after a look at who still uses it",
    "template": "print the CloudFormation template",
    "policy": "print the policy that users, jobs, the bastion, builds or administrators need",
}
"""The actions, in the order in which help shows them, and what each does."""

DESCRIPTION: Final = (
    "Makes and manages what ssh needs in an AWS account, as one CloudFormation stack: a "
    "network, a bastion that only Session Manager reaches, and roles."
)
EXAMPLES: Final = (
    ("sm-proxy infra deploy", "shows the cost, and asks first"),
    ("sm-proxy infra status", "can jobs use it now?"),
    ("sm-proxy infra pause", "no bastion overnight"),
    ("sm-proxy infra policy user", "permissions of those who use ssh"),
)
USES: Final = ()


class _Actions(argparse._SubParsersAction):  # type: ignore[type-arg]  # noqa: SLF001 - its only name
    """Subparsers that get their arguments when they are used."""

    _complete: set[str] | None = None

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Complete the parser of the action, then run it."""
        self.complete(values[0])
        super().__call__(parser, namespace, values, option_string)

    def complete(self, name: str) -> None:
        """Give the parser of an action its arguments and its texts, once."""
        self._complete = self._complete or set()
        if name in ACTIONS and name not in self._complete:
            self._complete.add(name)
            action = _module(name)
            self.choices[name].describe(action)
            action.add_arguments(self.choices[name])


def add_arguments(parser: argparse.ArgumentParser) -> Any:
    """`infra ACTION ...`; an action gets its arguments when it is used.

    Returns:
        The `_Actions`.
    """
    actions: Any = parser.add_subparsers(
        metavar="ACTION", required=True, dest="action", action=_Actions
    )
    for name, text in ACTIONS.items():
        actions.add_parser(name, help=text)
    return actions


def add_all_arguments(parser: argparse.ArgumentParser) -> None:
    """As `add_arguments`, with the arguments of all actions."""
    actions = add_arguments(parser)
    for name in ACTIONS:
        actions.complete(name)


def run(args: argparse.Namespace, settings: Settings) -> Result | int:
    """Run the action.

    Raises:
        SmProxyError: as the action; `access-denied` also names the policy to ask for.
    """
    try:
        result: Result | int = _module(args.action).run(args, settings)
    except SmProxyError as error:
        if error.code == "access-denied":
            error.hint = f"{error.hint} `sm-proxy infra policy admin` prints all that it needs."
        raise
    return result


def _module(action: str) -> Any:
    return importlib.import_module(f"sm_proxy.commands.infra_{action}")

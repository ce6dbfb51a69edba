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
        self._complete = self._complete or set()
        name = values[0]
        if name in ACTIONS and name not in self._complete:
            self._complete.add(name)
            _module(name).add_arguments(self.choices[name])
        super().__call__(parser, namespace, values, option_string)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`infra ACTION ...`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action", action=_Actions)
    for name, text in ACTIONS.items():
        actions.add_parser(name, help=text, description=f"{text[:1].upper()}{text[1:]}.")


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

"""What the commands that change a stack share: ask first, follow the events, survive ^C."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Final

from sm_proxy.aws import caller
from sm_proxy.aws.clients import Aws
from sm_proxy.commands import options
from sm_proxy.commands.interruptible import Interruptible
from sm_proxy.errors import SmProxyError
from sm_proxy.infra import events
from sm_proxy.infra import stack as stacks
from sm_proxy.infra.stack import Stack
from sm_proxy.infra.watch import DELETED, Watch
from sm_proxy.local import output, prompt
from sm_proxy.local.prompt import NobodyToAskError
from sm_proxy.settings import Settings, durations
from sm_proxy.settings.deadline import Deadline

_TIMEOUT_S = 45 * 60
_FLAGS: Final = ("with_data", "images")
"""Options without a value, by which an action does more."""


def add_arguments(parser: argparse.ArgumentParser, *, asks: bool = True) -> None:
    """`--yes`, `--timeout` and `--json`.

    Args:
        parser: of the action.
        asks: whether the action asks before it begins.
    """
    if asks:
        parser.add_argument("--yes", action="store_true", help="do not ask before it begins")
    parser.add_argument(
        "--timeout",
        type=options.duration,
        metavar="DURATION",
        default=_TIMEOUT_S,
        help=f"how long to wait; AWS continues after that (default: {durations.form(_TIMEOUT_S)})",
    )
    options.add_json(parser)


@dataclass(frozen=True)
class Run:
    """One run of a command on a stack.

    Attributes:
        aws: for the calls.
        settings: of this run.
        name: the stack's name.
        action: of `sm-proxy infra`.
        deadline: when to give up.
        left: says what continues in AWS without us.
        yes: whether the user has said yes already; None if the command does not ask.
        flags: the options without a value that say what is done, as they are typed.
    """

    aws: Aws
    settings: Settings
    name: str
    action: str
    deadline: Deadline
    left: Interruptible
    yes: bool
    flags: tuple[str, ...] = ()

    @classmethod
    def of(cls, args: argparse.Namespace, settings: Settings, left: Interruptible) -> Run:
        """The run for these arguments.

        Raises:
            SmProxyError: `usage`.
        """
        return cls(
            aws=Aws(settings.profile, settings.region),
            settings=settings,
            name=stacks.checked_name(args.stack),
            action=args.action,
            deadline=Deadline(args.timeout),
            left=left,
            yes=getattr(args, "yes", False),
            flags=tuple(
                f"--{name.replace('_', '-')}" for name in _FLAGS if getattr(args, name, False)
            ),
        )

    @property
    def again(self) -> str:
        """The command that continues what this one began; `output` adds options with a value."""
        return " ".join(["sm-proxy infra", self.action, *self.flags])

    @property
    def place(self) -> str:
        """`account 111122223333, eu-west-1`."""
        account = caller.identify(self.aws).account
        return f"account {account}, {self.aws.region}" if account else self.aws.region

    def confirmed(self, question: str) -> bool:
        """Whether the user wants it.

        Raises:
            SmProxyError: `usage`, there is no terminal to ask on.
        """
        if self.yes:
            return True
        try:
            return prompt.confirm(question)
        except NobodyToAskError:
            raise SmProxyError(
                "usage",
                f"infra {self.action} asks before it begins, and there is no terminal to ask on",
                "If you mean it, add --yes.",
            ) from None

    def existing(self) -> Stack:
        """The stack, which is ours.

        Raises:
            SmProxyError: `no-stack`; `in-use`, it is not ours.
        """
        found = stacks.existing(self.aws, self.name)
        stacks.refuse_foreign(found, lambda: stacks.template(self.aws, self.name))
        return found

    def follow(self, stack: Stack, after: str = "") -> tuple[Stack, list[events.Event]]:
        """Show the events of an operation until it is over.

        Args:
            stack: that CloudFormation works on.
            after: the id of the last event before the operation; empty for the running one.

        Returns:
            The stack then, and the events.

        Raises:
            SmProxyError: `wait-timeout`; as `Aws.call`.
        """
        self.left.words = (
            f"CloudFormation continues with the stack {self.name}; to watch it again:"
            f" `{self.again}`, or `sm-proxy infra status`"
        )
        watch = Watch(self.aws, stack, output.status, after)
        try:
            return watch.until_settled(self.deadline, self.again), watch.events
        except SmProxyError as error:
            if error.code != "wait-timeout":  # that one says it itself
                output.status(self.left.words)
            raise

    def succeeded(self, stack: Stack, after: str = "") -> Stack | None:
        """As `follow`, for an operation that must not fail; None if the stack is gone then.

        Raises:
            SmProxyError: `stack-failed`, with the first real reason; as `follow`.
        """
        found, shown = self.follow(stack, after)
        if found.failed:
            raise events.failure(self.name, found.status, shown, found.reason)
        return None if found.status == DELETED else found

    def completed(self, stack: Stack, after: str = "") -> Stack:
        """As `succeeded`, for an operation after which the stack exists.

        Raises:
            SmProxyError: `no-stack`, it was deleted meanwhile; as `succeeded`.
        """
        found = self.succeeded(stack, after)
        if found is None:
            raise stacks.missing(self.name, self.aws.region)
        return found

    def settled(self) -> Stack:
        """The stack, once what CloudFormation does with it now is over.

        Raises:
            SmProxyError: as `existing` and `succeeded`.
        """
        found = self.existing()
        if not found.busy:
            return found
        output.status(f"the stack {self.name} is {found.status}: waiting for that first")
        return self.completed(found)

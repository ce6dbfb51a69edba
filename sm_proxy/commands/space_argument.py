"""HOST of a Studio space, for the commands that start and stop one, and what they ask first."""

from __future__ import annotations

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import hostname
from sm_proxy.jobs.cache import JobCache
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.kinds import space as space_kind
from sm_proxy.jobs.kinds._described_space import Space
from sm_proxy.local import output, prompt
from sm_proxy.local.prompt import NobodyToAskError
from sm_proxy.settings.deadline import Deadline
from sm_proxy.spaces.waiting import Waiter


def find(aws: Aws, target: Target) -> tuple[Space, Target]:
    """The space that a host name means, and its own host name.

    Args:
        aws: for the calls.
        target: the host name, parsed; its kind is `space`.

    Raises:
        SmProxyError: `job-not-found`, `job-ambiguous`, or a call failed.
    """
    found = space_kind.find_space(aws, target, output.status)
    return found, hostname.whole(target, found.name, found.domain)


def waiter(seconds: float, again: str) -> Waiter:
    """What waits for SageMaker.

    Args:
        seconds: the longest wait.
        again: the command that continues this one.
    """
    return Waiter(Deadline(seconds), output.status, again)


def confirmed(command: str, question: str, target: Target, own: Target, *, yes: bool) -> bool:
    """Whether the user wants it, and means this space.

    Args:
        command: that asks: `start` or `stop`.
        question: one line.
        target: the host name as it was typed.
        own: the space's own host name.
        yes: whether the user has said yes already.

    Raises:
        SmProxyError: `job-ambiguous`, the name is not a whole one; `usage`, there is no terminal to
            ask on.
    """
    again = f"If you mean it: sm-proxy {command} {own.host} --yes"
    if yes and own.job == target.job:
        return True
    if yes:
        raise SmProxyError(
            "job-ambiguous",
            f"{target.host} means the space {own.job} now, and --yes takes whole names only",
            again,
        )
    try:
        return prompt.confirm(question)
    except NobodyToAskError:
        raise SmProxyError(
            "usage",
            f"{command} asks before it begins, and there is no terminal to ask on",
            again,
        ) from None


def forget(aws: Aws, space: Space) -> None:
    """Forget what is cached about the server of a space, under each of its host names."""
    cache = JobCache(aws)
    for domain in ("", space.domain):
        cache.forget_container(Target("", "", space.name, domain, "space"))

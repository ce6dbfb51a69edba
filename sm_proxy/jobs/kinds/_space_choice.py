"""Choose the space that a host name means. A name is unique in its domain only.

The caller's own space comes first. Two things identify it: the domain that this terminal is in,
and the caller's name in STS, which is often also the name of the user profile.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from sm_proxy.aws import caller, studio
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs import hostname, name_matching
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Phase
from sm_proxy.jobs.kinds._spaces import ListedSpace, list_spaces, with_apps

LATEST: Final = "latest"
_PREFERRED: Final[tuple[Phase, ...]] = ("running", "starting")
_SHOWN: Final = 6
_NAME_SHOWN: Final = 64


class Choice:
    """The search for one host name.

    The calls: ListSpaces; a second ListSpaces, of all spaces, if no name contains the one that was
    typed. On a clash of owners also GetCallerIdentity, and ListApps for the beginning of a name.

    Args:
        aws: for the calls.
        target: the host name, parsed.
        on_status: takes a line if the space is not the only one that the name may mean.
    """

    def __init__(self, aws: Aws, target: Target, on_status: Callable[[str], None]) -> None:
        self._aws = aws
        self._target = target
        self._on_status = on_status
        self._caller: str | None = None

    def run(self) -> ListedSpace:
        """The space.

        Raises:
            SmProxyError: `job-not-found`, `job-ambiguous`, or a call failed.
        """
        typed = self._target.job
        listed = self._listed(typed)
        if same := [space for space in listed if space.name == typed]:
            return self._exact(same)
        if typed == LATEST:
            return self._latest()
        if found := name_matching.meant(typed, listed):
            return self._by_beginning(found)
        listed = self._listed()  # SpaceNameContains may be case-sensitive
        if found := name_matching.meant(typed, listed):
            return self._by_beginning(found)
        raise self.not_found(listed)

    def not_found(self, known: Sequence[ListedSpace] = (), unlisted: str = "") -> SmProxyError:
        """The error for a name that means nothing.

        Args:
            known: spaces whose names to suggest.
            unlisted: words, if there is no list to look for other spellings.
        """
        hint = name_matching.hint(self._target, known)
        return SmProxyError(
            "job-not-found",
            f"there is no Studio space {self._target.job} {self._where}{unlisted}",
            hint,
        )

    @property
    def _where(self) -> str:
        domain = f"domain {self._target.node}, " if self._target.node else ""
        return f"in {domain}{self._aws.region or 'no region'}"

    def _listed(self, contains: str = "") -> list[ListedSpace]:
        try:
            return list_spaces(self._aws, contains, self._target.node)
        except SmProxyError as error:
            if error.code != "access-denied":
                raise
            if self._target.node:
                denied = "; the list of its spaces (sagemaker:ListSpaces) is denied"
                raise self.not_found(unlisted=denied) from None
            form = f"{self._target.prefix}{self._target.job}.<domain-id>.space"
            way = f"With the id of its domain in the space's host name, no list is needed: {form}"
            raise SmProxyError(error.code, error.message, f"{error.hint} {way}") from None

    def _exact(self, same: list[ListedSpace]) -> ListedSpace:
        """The space of that very name; on a clash, the own one."""
        if len(same) == 1:
            return same[0]
        own, why = self._own(same)
        if len(own) != 1:
            raise self._ambiguous(same, f"{len(same)} domains have a Studio space of this name")
        others = [self._host(space) for space in same if space is not own[0]]
        self._say(own[0], f"{why}; there is also {', '.join(others[:_SHOWN])}")
        return own[0]

    def _latest(self) -> ListedSpace:
        """The own space whose app started last."""
        own, why = self._owned(self._listed())
        if not own:
            name = printable(self._name(), _NAME_SHOWN)
            unknown = "you, as STS does not tell your name"
            who = f"a profile named like you: {name}" if name else unknown
            raise SmProxyError(
                "job-not-found",
                f"{LATEST} means the newest running Studio space of your own user profile, and no"
                f" space {self._where} belongs to {who}",
                "Write the name of the space. See: sm-proxy list",
            )
        live = [space for space in with_apps(self._aws, own) if space.summary().phase == "running"]
        if not live:
            raise SmProxyError(
                "job-not-found",
                f"none of your {len(own)} Studio spaces {self._where} runs",
                f"Start one: sm-proxy start {self._host(own[0])}",
            )
        newest = _newest(live)
        self._say(newest, why)
        return newest

    def _by_beginning(self, found: list[ListedSpace]) -> ListedSpace:
        """As for jobs: the newest that runs, else the newest that starts, else the only one."""
        pool, why = found, ""
        if len({(space.domain, space.owner) for space in found}) > 1:
            pool, why = self._own(found)
        if not pool:
            raise self._ambiguous(found, "several users have a matching Studio space")
        if len(pool) > 1:
            chosen = self._liveliest(pool)
            why = why or f"the newest of {len(pool)}"
        else:
            chosen = pool[0]
        self._say(chosen, why)
        return chosen

    def _liveliest(self, pool: list[ListedSpace]) -> ListedSpace:
        try:
            spaces = with_apps(self._aws, pool)
        except SmProxyError as error:
            if error.code != "access-denied":
                raise
            why = f"{len(pool)} Studio spaces match, and it is unknown which of them run"
            raise self._ambiguous(pool, f"{why} ({error.message})") from None
        for phase in _PREFERRED:
            if live := [space for space in spaces if space.summary().phase == phase]:
                return _newest(live)
        raise self._ambiguous(pool, f"{len(pool)} Studio spaces match, and none runs")

    def _own(self, spaces: list[ListedSpace]) -> tuple[list[ListedSpace], str]:
        """Those of this terminal's domain, else those of the caller's user profile; and why."""
        domain = studio.own_domain()
        if here := [space for space in spaces if domain and space.domain == domain]:
            return here, "the one in this terminal's domain"
        return self._owned(spaces)

    def _owned(self, spaces: list[ListedSpace]) -> tuple[list[ListedSpace], str]:
        names = profile_names(self._name())
        own = [space for space in spaces if space.owner.lower() in names]
        owner = printable(own[0].owner, _NAME_SHOWN) if own else ""
        return own, f"the one of user profile {owner}" if own else ""

    def _name(self) -> str:
        """The last part of the caller's ARN; empty if it is unknown."""
        if self._caller is None:
            self._caller = (caller.identify(self._aws).arn or "").partition("/")[2]
            self._caller = self._caller.rpartition("/")[2]
        return self._caller

    def _host(self, space: ListedSpace) -> str:
        return hostname.compose(self._target.prefix, space.name, space.domain, "space").host

    def _say(self, chosen: ListedSpace, why: str) -> None:
        self._on_status(f"{self._target.host} is {self._host(chosen)}{why and ', '}{why}")

    def _ambiguous(self, spaces: list[ListedSpace], why: str) -> SmProxyError:
        shown = [
            f"{self._host(space)} ({printable(space.owner, _NAME_SHOWN) or 'no owner'})"
            for space in spaces[:_SHOWN]
        ]
        more = ", ..." if len(spaces) > _SHOWN else ""
        return SmProxyError(
            "job-ambiguous",
            f"{self._target.job}: {why}: {', '.join(shown)}{more}",
            "Use one of these host names.",
        )


def _newest(live: Sequence[ListedSpace]) -> ListedSpace:
    """The space whose app started last, of those that sessions may reach if there are any."""
    return max(live, key=lambda space: (space.remote_access, space.since, space.created))


def profile_names(name: str) -> frozenset[str]:
    """Names, in lower case, that the user profile of a caller may have.

    Args:
        name: of an IAM user or a role's session, such as `jane.doe@example.com`. Names of user
            profiles have letters, digits and hyphens only (CreateUserProfile).
    """
    lower = name.lower()
    plain = {lower, lower.partition("@")[0]}
    return frozenset({*plain, *(re.sub(r"[^a-z0-9]+", "-", each) for each in plain)} - {""})

"""Find the job that a name means.

An exact name wins, in the order of the kinds; then a name in another case, then the beginning of a
name. The calls, one after the other (a transform job's Describe needs another one for its model, an
endpoint's two for its configuration and model):

    exact name of a training job         1  DescribeTrainingJob
    of a processing job                  2  ... DescribeProcessingJob
    of a transform job                   3  ... DescribeTransformJob
    of an endpoint                       4  ... DescribeEndpoint
    the beginning of a training job's    6  ... ListTrainingJobs, DescribeTrainingJob
    its name in another case             6  the same; 7 if NameContains is case-sensitive
    `latest`                             3  DescribeTrainingJob, ListTrainingJobs,
                                            DescribeTrainingJob
    no such job                          6  4 x Describe, 2 x ListTrainingJobs

A full page needs one more call, for jobs that have not ended. With a kind in the name we search
only that kind: 1 call for an exact name, 3 for a part of one, 3 if there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import KINDS, SESSION_KINDS, Kind
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import kinds, name_matching
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job, Phase, Summary
from sm_proxy.jobs.kinds._calls import PAGE, UnseenError
from sm_proxy.local import debug_log

LATEST: Final = "latest"
ALIVE: Final[tuple[Phase, ...]] = ("running", "starting")


def find(
    aws: Aws,
    target: Target,
    on_status: Callable[[str], None] = lambda _: None,
    phases: Sequence[Phase] = ALIVE,
    *,
    else_newest: bool = False,
) -> Job:
    """The job that a name means.

    The beginning of a name means the newest running job with that beginning, else the newest
    starting one, else the only one. `latest` means the newest of those.

    Args:
        aws: for the calls.
        target: the name.
        on_status: takes a line if the job's name is not the one that was typed.
        phases: to look for, in place of running and starting.
        else_newest: whether the newest job will do if none is in one of the phases.

    Raises:
        SmProxyError: `job-not-found`, `job-ambiguous`, or a call failed.
    """
    session_kind = SESSION_KINDS.get(target.kind or "")
    if session_kind and not session_kind.unique_names:
        return kinds.of_session(target.kind or "").find(aws, target, on_status)
    return _Search(aws, target, tuple(phases), else_newest).run(on_status)


@dataclass
class _Search:
    """One search.

    Attributes:
        aws: for the calls.
        target: the name.
        phases: of the jobs to prefer, the best first.
        else_newest: whether the newest job will do if none is in one of the phases.
        unseen: what is denied, such as "endpoints (sagemaker:DescribeEndpoint)", for the message.
        near: names to suggest if none matches.
    """

    aws: Aws
    target: Target
    phases: tuple[Phase, ...] = ALIVE
    else_newest: bool = False
    unseen: list[str] = field(default_factory=list)
    near: list[Summary] = field(default_factory=list)

    def run(self, on_status: Callable[[str], None]) -> Job:
        if (job := self._exact()) is not None:
            return job
        kind = self.target.kind or kinds.ORDER[0]
        chosen, others = self._choose(self._candidates(kind))
        if chosen is None:
            raise self._not_found()
        on_status(f"{self.target.host} is {chosen.name}{others}")
        job = kinds.of(kind).describe(self.aws, chosen.name)
        if job is None:  # deleted in between
            raise self._not_found()
        debug_log.write("name", job=job.name)
        return job

    @property
    def _asked(self) -> tuple[Kind, ...]:
        """The kinds whose exact names we try; for `latest`, only the first one."""
        if self.target.kind:
            return (self.target.kind,)
        return kinds.ORDER[:1] if self.target.job == LATEST else kinds.ORDER

    def _exact(self) -> Job | None:
        for number, kind in enumerate(self._asked):
            try:
                job = kinds.of(kind).describe(self.aws, self.target.job)
            except UnseenError:
                if number == 0:
                    raise
                self.unseen.append(f"{kinds.of(kind).NOUN}s ({_action(kind, 0)})")
                continue
            if job is not None:
                return job
        return None

    def _candidates(self, kind: Kind) -> list[Summary]:
        """The jobs that the name may mean, the newest first."""
        if self.target.job == LATEST:
            return self._list(kind, live=self._wants_live)
        holding = self._listed(kind, self.target.job)
        found = self._meant(holding)
        if found or _every(kind) in self.unseen:
            return found
        # NameContains may be case-sensitive: look at the newest jobs of all names.
        newest = self._listed(kind)
        self.near = [*newest, *holding]
        return self._meant(newest)

    def _listed(self, kind: Kind, contains: str = "") -> list[Summary]:
        """The newest page; if it is full, also live jobs that may be on later pages."""
        page = self._list(kind, contains)
        if len(page) < PAGE:
            return page
        seen = {item.name for item in page}
        older = self._list(kind, contains, live=True)
        return page + [item for item in older if item.name not in seen]

    def _list(self, kind: Kind, contains: str = "", *, live: bool = False) -> list[Summary]:
        try:
            found = kinds.of(kind).recent(self.aws, contains, live=live)
        except SmProxyError as error:
            if error.code != "access-denied":
                raise
            self.unseen.append(_every(kind))
            return []
        return [item for item in found if name_matching.NAME.fullmatch(item.name)]

    @property
    def _wants_live(self) -> bool:
        return self.phases == ALIVE and not self.else_newest

    def _meant(self, listed: list[Summary]) -> list[Summary]:
        return name_matching.meant(self.target.job, listed)

    def _choose(self, found: list[Summary]) -> tuple[Summary | None, str]:
        """The job that is meant, and words about other candidates."""
        for phase in self.phases:
            if same := [item for item in found if item.phase == phase]:
                others = f", the newest of {len(same)} {phase}" if len(same) > 1 else ""
                return same[0], others
        if self.else_newest and found:
            return found[0], f", the newest of {len(found)}" if len(found) > 1 else ""
        if self.target.job == LATEST or not found:
            return None, ""
        if len(found) == 1:
            return found[0], ""
        shown = ", ".join(item.name for item in found[: name_matching.SHOWN])
        more = ", ..." if len(found) > name_matching.SHOWN else ""
        raise SmProxyError(
            "job-ambiguous",
            f"{self.target.job} may be any of {len(found)} {self._plural}, and none of them"
            f" {'runs' if self._wants_live else 'has failed'}: {shown}{more}",
            "Write the whole name.",
        )

    @property
    def _plural(self) -> str:
        kind = self.target.kind or ""
        return f"{kinds.of(kind).NOUN}s" if kind in SESSION_KINDS else "jobs"

    def _not_found(self) -> SmProxyError:
        where = self.aws.region or "no region"
        *others, last = (kinds.of(kind).NOUN for kind in self._asked)
        what = f"{', '.join(others)}{' or ' if others else ''}{last} {self.target.job}"
        if self.target.job == LATEST:
            what = f"{self.phases[0]} {last}"
        unseen = f"; access to {' and '.join(self.unseen)} is denied" if self.unseen else ""
        hint = name_matching.hint(self.target, self.near)
        return SmProxyError("job-not-found", f"there is no {what} in {where}{unseen}", hint)


def _every(kind: Kind) -> str:
    return f"the list of {kinds.of(kind).NOUN}s ({_action(kind, 1)})"


def _action(kind: Kind, number: int) -> str:
    """The IAM action that describes a job of that kind (0), or lists them (1)."""
    operations = KINDS[kind] if kind in KINDS else SESSION_KINDS[kind].operations
    return f"sagemaker:{operations[number]}"

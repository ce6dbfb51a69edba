"""Why a build failed: CodeBuild's reason for the phase, what docker printed, and what to do.

The words of each cause are those of the program that prints them: Docker, BuildKit, ECR, CodeBuild.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from sm_proxy.aws.stack_names import CONTEXTS, IMAGE_TAG
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.image.project import Project

_TELLING: Final = re.compile(
    r"\b(?:ERROR|error|Error|denied|toomanyrequests|unauthorized|failed to|fatal)\b"
)
_STEP: Final = re.compile(r"^(?:#\d+ )?(?:ERROR: )?")
_HOSTS_OWN: Final = "[Container] "
"""What CodeBuild's agent puts before its own lines."""
_SHOWN: Final = 3
_LONGEST: Final = 400
_GRANT: Final = re.compile(
    r"not authorized to perform:? (?P<action>[\w-]+:\w+)"
    r"(?: on (?:resource:? )?(?P<resource>arn:[^\s\"]+))?"
)
_PUSHES: Final = frozenset(
    f"ecr:{name}"
    for name in (
        "BatchCheckLayerAvailability",
        "CompleteLayerUpload",
        "InitiateLayerUpload",
        "PutImage",
        "UploadLayerPart",
    )
)


class _Cause(NamedTuple):
    """A cause by its words, and what to do about it."""

    words: str
    hint: str


_CAUSES: Final = (
    _Cause(
        r"toomanyrequests|pull rate limit",
        "Docker Hub limits pulls without a login: take the same image from"
        " public.ecr.aws/docker/library/ or from a repository in ECR, or try again later.",
    ),
    _Cause(
        r"no space left on device",
        "The host's disk is full: a larger --compute has more, and a smaller context needs less.",
    ),
    _Cause(
        r"cannot be overwritten|tag invalid|ImageTagAlreadyExists",
        "The repository's tags are immutable: choose another tag.",
    ),
    _Cause(
        r"Cannot connect to the Docker daemon",
        "The CodeBuild project must be privileged to run docker: set PrivilegedMode in it.",
    ),
    _Cause(
        r"exit (?:code|status):? 137|Out of memory|Killed\b",
        "The host's memory was probably exhausted: a larger --compute has more.",
    ),
    _Cause(
        r"403 Forbidden|no basic auth credentials|401 Unauthorized",
        "If an image to build on is in ECR, the build's role {role} needs ecr:BatchGetImage and"
        " ecr:GetDownloadUrlForLayer on its repository, and in another account that repository's"
        " own policy must allow them, too.",
    ),
    _Cause(
        r"pull access denied|repository does not exist|manifest unknown|: not found\b.*FROM"
        r"|failed to resolve source metadata",
        "Is the name of the image to build on right? A private registry other than ECR would need a"
        " login, which builds do not have.",
    ),
    _Cause(
        r"failed to compute cache key|failed to calculate checksum|COPY failed|ADD failed",
        "A file to copy is not in the build context: does .dockerignore leave it out?"
        " --dry-run lists what is sent.",
    ),
)


def explain(build: Mapping[str, Any], lines: Iterable[str], project: Project) -> SmProxyError:
    """The error for a build that did not succeed.

    Args:
        build: as BatchGetBuilds describes it, at its end.
        lines: the last lines of its log.
        project: that built.
    """
    phase, reason = _phase(build)
    shown = _telling(lines)
    status = str(build.get("buildStatus"))
    what = f"the build {build.get('id')} {_ENDINGS.get(status, 'failed')}"
    if phase:
        what += f" in the phase {phase}"
    if reason:
        what += f": {printable(reason, _LONGEST)}"
    if shown:
        what += f" [{' | '.join(shown)}]"
    evidence = "\n".join((reason, *shown))
    return SmProxyError("build-failed", what, _remedy(status, phase, evidence, project))


_ENDINGS: Final = {
    "STOPPED": "was stopped",
    "TIMED_OUT": "took too long",
    "FAULT": "failed by a fault of CodeBuild",
}
_HINTS: Final = {
    "STOPPED": "Somebody stopped it, or its project was deleted.",
    "TIMED_OUT": "Give it longer with --timeout, or a larger host with --compute.",
    "FAULT": "Try again; AWS's health dashboard tells of outages.",
}


def _phase(build: Mapping[str, Any]) -> tuple[str, str]:
    """The phase that failed and CodeBuild's reason; empty if it names none."""
    for phase in build.get("phases", []):
        if phase.get("phaseStatus") in {"FAILED", "FAULT", "TIMED_OUT", "STOPPED"}:
            contexts = phase.get("contexts") or []
            texts = (
                ": ".join(filter(None, (item.get("statusCode"), item.get("message"))))
                for item in contexts
            )
            return str(phase.get("phaseType", "")), "; ".join(filter(None, texts))
    return "", ""


def _telling(lines: Iterable[str]) -> list[str]:
    """The last lines about an error, without repetitions: the last line repeats the whole error."""
    found = dict.fromkeys(
        line.strip() for line in lines if _TELLING.search(line) and not line.startswith(_HOSTS_OWN)
    )
    last = list(found)[-_SHOWN:]
    return [
        printable(line, _LONGEST)
        for number, line in enumerate(last)
        if not any(_STEP.sub("", line) in later for later in last[number + 1 :])
    ]


def _remedy(status: str, phase: str, evidence: str, project: Project) -> str:
    if status in _HINTS:
        return _HINTS[status]
    if found := _GRANT.search(evidence):
        return _grant(found["action"], found["resource"] or "", project)
    if phase == "DOWNLOAD_SOURCE" and re.search("Access ?Denied", evidence):
        return _grant("s3:GetObject", f"s3://{project.bucket}/{CONTEXTS}*", project)
    causes = (cause.hint for cause in _CAUSES if re.search(cause.words, evidence))
    return next(causes, "The log above has more.").format(role=project.role)


def _grant(action: str, resource: str, project: Project) -> str:
    where = f" on {resource}" if resource else ""
    if action.startswith("sts:AssumeRole"):
        return (
            f"The trust policy of the role {project.role} must let codebuild.amazonaws.com assume"
            " it: `sm-proxy infra deploy` repairs it."
        )
    hint = (
        f"Allow {action}{where} in the policies of the build's role {project.role}:"
        " `sm-proxy infra policy build` prints what it needs."
    )
    if action in _PUSHES:
        tag = f"Key={IMAGE_TAG['Key']},Value={IMAGE_TAG['Value']}"
        return (
            "The build's role pushes only to repositories with our tag:"
            f" aws ecr tag-resource --region {project.region} --resource-arn"
            f" {resource or 'REPOSITORY'} --tags {tag}. For another role: {hint}"
        )
    return hint

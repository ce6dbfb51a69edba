"""The kinds of what ssh can reach: a word for host names, and the SageMaker operations it takes.

A row `hub` needs the module `jobs/kinds/hub.py`, which knows the rest about that kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

KINDS: Final[dict[str, tuple[str, ...]]] = {
    "training": ("DescribeTrainingJob", "ListTrainingJobs", "StopTrainingJob"),
    "processing": ("DescribeProcessingJob", "ListProcessingJobs", "StopProcessingJob"),
    "transform": (
        *("DescribeTransformJob", "ListTransformJobs", "DescribeModel", "StopTransformJob"),
    ),
    "endpoint": ("DescribeEndpoint", "ListEndpoints", "DescribeEndpointConfig", "DescribeModel"),
}
"""Kinds of jobs, in the order in which a name without a kind is looked up.

The first operation of a row describes a job, the second one lists jobs.
"""


class SessionKind(NamedTuple):
    """A kind that a session of Session Manager reaches, without a log that names an address.

    Its names are looked up only where the host name says the kind.

    Attributes:
        operations: of SageMaker, as in `KINDS`; one that botocore does not know is left out.
        labels: pattern of the labels that may stand between its name and its kind in a host name.
        user: to log in as.
        unique_names: whether a name means one thing, as a job's does: then it is looked up like a
            job's, else by `find` of the kind's module.
        forms: of its host names after the prefix, for hints.
        look: how to find out why a server does not answer; `{host}` and `{target}` are replaced.
        key_advice: what to do if a server refuses a key; `{host}` and `{user}` are replaced.
        asks_for_key: whether its servers ask for a key of the user.
        accepts_first_key: whether the first host key that a server shows is accepted without an
            opt-in (see `host_keys/accept_new.py`). Then no agent is forwarded to it.
        has_nodes: whether it is a cluster: what is listed is reached by its nodes. See `has_nodes`.
        has_app: whether `start` and `stop` start and end its app.
        not_started: of a kind without an app, why `start` does not start it, and what to do
            instead.
        other_key: what to do if a server shows another host key than before; `{host}` and
            `{trust}`, how to trust the new one, are replaced.
        most_copying: how many connections a copy opens at most; None for the usual number.
    """

    operations: tuple[str, ...]
    labels: str
    user: str
    unique_names: bool
    forms: tuple[str, ...]
    look: str
    key_advice: str
    asks_for_key: bool = True
    accepts_first_key: bool = False
    has_nodes: bool = False
    has_app: bool = False
    not_started: tuple[str, str] = ("runs until it is deleted", "")
    other_key: str = "find out which server answers there, and if it was replaced, {trust}"
    most_copying: int | None = None


SESSION_KINDS: Final[dict[str, SessionKind]] = {
    "space": SessionKind(
        (
            *("DescribeSpace", "ListSpaces", "DescribeApp", "ListApps", "StartSession"),
            *("CreateApp", "DeleteApp", "UpdateSpace"),
        ),
        labels=r"d-(?:-*[a-z0-9]){1,61}",  # the domain's id: pattern of DescribeSpace
        user="sagemaker-user",
        unique_names=False,  # unique in a domain
        forms=("<space>.space", "<space>.<domain-id>.space"),
        look="Restart its app (unsaved work is lost): sm-proxy stop {host}, then sm-proxy start "
        "{host}",
        key_advice="A space is known to ask for no key. Find out why with: sm-proxy doctor {host}",
        asks_for_key=False,
        accepts_first_key=True,
        has_app=True,
        other_key="an app keeps its key. A new app gets a new one (unsaved work is lost): sm-proxy "
        "stop {host}, then sm-proxy start {host}; or {trust}",
        most_copying=4,  # a space takes ten, and its user's editors and terminals need some
    ),
    "hyperpod": SessionKind(
        ("DescribeCluster", "ListClusters", "ListClusterNodes"),
        # The instance group, and which of its nodes: patterns of DescribeClusterNode.
        labels=r"[a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,62}\.(?:[1-9][0-9]{0,3}|i-[a-f0-9]{8}(?:[a-f0-9]{9})?)",
        user="ubuntu",
        unique_names=True,
        forms=("<cluster>.<group>.<number>.hyperpod", "<cluster>.<group>.<instance-id>.hyperpod"),
        look="Look at sshd in a shell on the node: aws ssm start-session --target {target}",
        key_advice="Put your key into ~/.ssh/authorized_keys on the node, on most clusters "
        "/fsx/{user}/.ssh/authorized_keys: sm-proxy keys show",
        has_nodes=True,
        not_started=(
            "is in a HyperPod cluster, whose nodes run until they are deleted",
            "For more nodes, raise InstanceCount: aws sagemaker update-cluster",
        ),
        other_key="find out which server answers there, and if the node has been set up anew, "
        "{trust}",
    ),
}
"""Studio spaces and nodes of HyperPod clusters."""


def has_nodes(kind: str) -> bool:
    """Whether a kind is one of clusters, whose nodes host names name; a job's nodes do not count.

    Args:
        kind: a key of `KINDS` or `SESSION_KINDS`.
    """
    return kind in SESSION_KINDS and SESSION_KINDS[kind].has_nodes


if TYPE_CHECKING:
    Kind: TypeAlias = str
else:
    Kind = Literal[tuple(KINDS) + tuple(SESSION_KINDS)]
    """A key of `KINDS` or `SESSION_KINDS`; `state.json_records` refuses any other in the cache."""

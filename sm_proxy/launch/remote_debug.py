"""RemoteDebug in a request: Session Manager then reaches the job, with or without a VPC."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from sm_proxy.errors import SmProxyError
from sm_proxy.launch.changes import Draft, value_at
from sm_proxy.launch.shapes import Shape

INSTEAD: Final = "Reach it through a bastion instead: run it in a VPC (VpcConfig)."
"""What to do with a job that cannot have RemoteDebug."""
_BUILT_IN: Final = frozenset(
    {
        *("blazingtext", "factorization-machines", "forecasting-deepar", "image-classification"),
        *("ipinsights", "kmeans", "knn", "lda", "linear-learner", "ntm", "object-detection"),
        *("object2vec", "pca", "randomcutforest", "semantic-segmentation", "seq2seq"),
    }
)
"""Repositories of the built-in algorithms (SageMaker guide, "Docker Registry Paths")."""
_IMAGE: Final = re.compile(r"(?P<account>[0-9]{12})\.dkr\.ecr\.[^/]+/(?P<name>[^:@]+)(?:[:@].*)?")
_ACCOUNT: Final = re.compile(r"arn:[^:]*:iam::([0-9]{12}):")


def is_on(request: Mapping[str, Any], shape: Shape) -> bool:
    """Whether RemoteDebug is on in a request, or in the description of a job."""
    return bool(shape.REMOTE_DEBUG and value_at(request, shape.REMOTE_DEBUG))


def switch_on(draft: Draft, shape: Shape) -> None:
    """Switch RemoteDebug on in a request.

    Raises:
        SmProxyError: as `refuse`.
    """
    refuse(draft.request, shape)
    if shape.REMOTE_DEBUG:
        why = "Session Manager reaches the container, without a bastion or a VPC"
        draft.set(shape.REMOTE_DEBUG, value=True, why=why)


def refuse(request: Mapping[str, Any], shape: Shape) -> None:
    """Raise for a job that cannot have RemoteDebug, by a request or a description.

    The limits are from the SageMaker guide, "Access a training container through AWS Systems
    Manager for remote debugging".

    Raises:
        SmProxyError: `unsupported` or `network-isolation`.
    """
    if not shape.REMOTE_DEBUG:
        raise _unsupported(f"a {shape.KIND} job has no RemoteDebug: only training jobs have it")
    if request.get("ServerlessJobConfig"):
        raise _unsupported("a serverless job has no container that RemoteDebug could reach")
    if value_at(request, shape.ISOLATION):
        raise SmProxyError(
            "network-isolation",
            "the job is in network isolation, in which the agent of RemoteDebug cannot run",
            "Run it without isolation: sm-proxy relaunch JOB --remote-debug --without-isolation.",
        )
    algorithm = value_at(request, (*shape.CONTAINER, "AlgorithmName"))
    if algorithm:
        raise _unsupported(
            f"the job runs the algorithm {algorithm}: RemoteDebug is not for algorithms of the"
            " Marketplace, or of an algorithm resource"
        )
    image = _IMAGE.fullmatch(str(value_at(request, shape.IMAGE) or ""))
    own = _ACCOUNT.match(str(request.get("RoleArn", "")))
    if image and image["name"] in _BUILT_IN and not (own and own[1] == image["account"]):
        raise _unsupported(
            f"the job runs the built-in algorithm {image['name']}, which has no RemoteDebug"
        )


def _unsupported(what: str) -> SmProxyError:
    return SmProxyError("unsupported", what, INSTEAD)

"""The ids of HyperPod clusters: the last part of a cluster's ARN, which IAM compares.

IAM judges a request before SageMaker reads it, and a request may name the cluster by its name.
"""

from __future__ import annotations

import secrets
import string
from typing import Final

LENGTH: Final = 12
_ALPHABET: Final = string.ascii_lowercase + string.digits
_known: dict[tuple[str, str], str] = {}


def new(region: str, name: str) -> str:
    """Make the id of a new cluster: one of the same name before had another id."""
    made = "".join(secrets.choice(_ALPHABET) for _ in range(LENGTH))
    _known[region, name] = made
    return made


def of(region: str, name_or_arn: str) -> str:
    """The id of the cluster with this name or ARN; `*` if no cluster has this name."""
    if name_or_arn.startswith("arn:"):
        return name_or_arn.rpartition("/")[2]
    return _known.get((region, name_or_arn), "*")


def forget(region: str, name: str) -> None:
    """Remove the id of a deleted cluster."""
    _known.pop((region, name), None)

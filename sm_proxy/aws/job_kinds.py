"""The kinds of jobs, one row each: a word for host names, and the SageMaker operations it takes.

A row `space` needs the module `jobs/kinds/space.py`, which knows the rest about that kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

KINDS: Final[dict[str, tuple[str, ...]]] = {
    "training": ("DescribeTrainingJob", "ListTrainingJobs", "StopTrainingJob"),
    "processing": ("DescribeProcessingJob", "ListProcessingJobs", "StopProcessingJob"),
    "transform": (
        *("DescribeTransformJob", "ListTransformJobs", "DescribeModel", "StopTransformJob"),
    ),
    "endpoint": ("DescribeEndpoint", "ListEndpoints", "DescribeEndpointConfig", "DescribeModel"),
}
"""In the order in which a name without a kind is looked up.

The first operation of a row describes a job, the second one lists jobs.
"""

if TYPE_CHECKING:
    Kind: TypeAlias = str
else:
    Kind = Literal[tuple(KINDS)]
    """A key of `KINDS`; `state.json_records` refuses a cached job of any other kind."""

"""The kinds of jobs that have containers in the lab."""

from __future__ import annotations

from sm_proxy_lab.job_kinds.processing import ProcessingRequest
from sm_proxy_lab.job_kinds.training import TrainingRequest

KINDS = {kind.KIND: kind for kind in (TrainingRequest, ProcessingRequest)}
"""Word for the kind in ARNs and events -> the class of its requests."""

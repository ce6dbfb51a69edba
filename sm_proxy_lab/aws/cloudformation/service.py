"""CloudFormation, loaded with its first call: most labs make no stack."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.aws.cloudformation.requests import Requests
    from sm_proxy_lab.aws.faults import Faults
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.http.errors import Reply
    from sm_proxy_lab.aws.inside import App

_OPERATIONS: Final = (
    *("CreateStack", "DeleteStack", "DescribeStackDriftDetectionStatus", "DescribeStackEvents"),
    *("DescribeStackResourceDrifts", "DescribeStackResources", "DescribeStacks"),
    *("DetectStackDrift", "GetTemplate", "ListStacks", "UpdateStack", "ValidateTemplate"),
)


class CloudFormation:
    """The operations that the lab has."""

    def __init__(self, app: App, faults: Faults) -> None:
        self._app = app
        self._faults = faults
        self._lock = threading.Lock()
        self._requests: Requests | None = None
        self.operations: dict[str, Callable[[Call], Reply]] = dict.fromkeys(
            _OPERATIONS, self._answer
        )

    def _answer(self, call: Call) -> Reply:
        with self._lock:
            if self._requests is None:
                from sm_proxy_lab.aws.cloudformation.requests import Requests  # noqa: PLC0415

                self._requests = Requests(self._app, self._faults)
        return self._requests.answer(call)

"""The tags of jobs, clusters and Studio, by ARN. Moto keeps the tags of all else."""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

_LIMIT = 50
_RESERVED = "aws:"
_STUDIO = {"domain", "user-profile", "space", "app"}


class Tags:
    """The tags that are not moto's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, dict[str, str]] = {}
        self.operations = {
            "AddTags": self._add,
            "DeleteTags": self._delete,
            "ListTags": self._list,
        }

    @staticmethod
    def check(tags: list[dict[str, str]]) -> None:
        """Refuse the tags of a request as the service does.

        Raises:
            AwsError: A key belongs to AWS, or a key is there twice.
        """
        keys = [tag["Key"] for tag in tags]
        if any(key.lower().startswith(_RESERVED) for key in keys):
            message = "aws: prefixed tag key names are not allowed for external use."
            raise AwsError("ValidationException", message)
        if len({*keys}) < len(keys):
            raise AwsError("ValidationException", "Duplicate tag keys found. Please remove them.")

    def keep(self, arn: str, tags: list[dict[str, str]]) -> None:
        """Set the tags of a job, even those that only AWS may set."""
        with self._lock:
            self._kept[arn] = {tag["Key"]: tag["Value"] for tag in copy.deepcopy(tags)}

    def drop(self, arn: str) -> None:
        """Forget the tags of what was deleted."""
        with self._lock:
            self._kept.pop(arn, None)

    def of(self, arn: str) -> dict[str, str]:
        """The tags of a job; none if there is no such job."""
        with self._lock:
            return dict(self._kept.get(arn, {}))

    def _find(self, call: Call) -> dict[str, str] | None:
        """The tags of a call's resource; None if it is moto's matter.

        Raises:
            AwsError: there is no such part of Studio, of which moto knows nothing (form assumed).
        """
        arn = call.params["ResourceArn"]
        kept = self._kept.get(arn)
        if kept is None and arn.split(":", 5)[-1].partition("/")[0] in _STUDIO:
            raise AwsError("ResourceNotFound", f"Resource [{arn}] does not exist.")
        return kept

    def _add(self, call: Call) -> dict[str, Any] | None:
        with self._lock:
            kept = self._find(call)
            if kept is None:
                return None
            self.check(call.params["Tags"])
            after = kept | {tag["Key"]: tag["Value"] for tag in call.params["Tags"]}
            if len(after) > _LIMIT:
                message = f"Number of tags exceeds limit of {_LIMIT}"
                raise AwsError("ValidationException", message)
            kept.update(after)
            return {"Tags": _listed(kept)}

    def _delete(self, call: Call) -> dict[str, Any] | None:
        with self._lock:
            kept = self._find(call)
            if kept is None:
                return None
            for key in call.params["TagKeys"]:
                kept.pop(key, None)
            return {}

    def _list(self, call: Call) -> dict[str, Any] | None:
        # A page has at least 50 tags, and a job has no more.
        with self._lock:
            kept = self._find(call)
            return None if kept is None else {"Tags": _listed(kept)}


def _listed(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]

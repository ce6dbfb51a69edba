"""A client of the control plane, for the supervisor and the tests."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

_TIMEOUT_S = 30.0
# The AWS endpoint is on this machine, so ignore the proxies in the environment.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ControlError(Exception):
    """The control plane refused."""


class ControlClient:
    """Controls a running AWS endpoint.

    Args:
        endpoint: `http://127.0.0.1:PORT`, the AWS endpoint.
    """

    def __init__(self, endpoint: str) -> None:
        self._base = endpoint.rstrip("/") + "/_lab/"

    def set_status(
        self,
        job: str,
        secondary: str,
        *,
        message: str | None = None,
        failure_reason: str | None = None,
    ) -> dict[str, Any]:
        """Move a job to its next SecondaryStatus; return its description.

        Raises:
            ControlError: There is no such job or status, or the job has ended.
        """
        body = {"secondary": secondary, "message": message, "failure_reason": failure_reason}
        answer = self._request("PUT", f"jobs/{quote(job, safe='')}", body)
        return dict(answer)

    def set_batch_status(
        self,
        kind: str,
        job: str,
        status: str,
        *,
        failure_reason: str | None = None,
        exit_message: str | None = None,
    ) -> dict[str, Any]:
        """The same for a job of kind `processing` or `transform`, which has only a status."""
        body = {"status": status, "failure_reason": failure_reason, "exit_message": exit_message}
        return dict(self._request("PUT", f"{kind}/{quote(job, safe='')}", body))

    def set_node_status(self, cluster: str, instance: str, status: str, **more: str) -> None:
        """Set the InstanceStatus of a node of a HyperPod cluster.

        Args:
            cluster: the cluster's name.
            instance: the node's instance id.
            status: such as `Running` or `Failure`.
            **more: `message`, and `address`: the node's private address.

        Raises:
            ControlError: There is no such node.
        """
        body = {"instance": instance, "status": status, **more}
        self._request("PUT", f"clusters/{quote(cluster, safe='')}", body)

    def remove_cluster(self, cluster: str) -> None:
        """End the deletion of a cluster: its nodes have ended."""
        self._request("DELETE", f"clusters/{quote(cluster, safe='')}")

    def plugged(
        self,
        addresses: list[str],
        groups: list[str],
        *,
        macs: list[str] | None = None,
        owner: str = "",
        region: str = "",
    ) -> None:
        """Report the addresses of SageMaker's machines, so that the security groups apply to them.

        Args:
            addresses: the addresses.
            groups: ids of the security groups.
            macs: the MAC address of each; then EC2 shows their network interfaces.
            owner: the name of their job; the interfaces are removed when it ends.
            region: where they are; the default one if empty.
        """
        body = {"addresses": addresses, "groups": groups, "macs": macs or [], "owner": owner}
        body["region"] = region
        self._request("PUT", "plugged", body)

    def jobs(self) -> list[dict[str, Any]]:
        """The descriptions of all training jobs, in all regions."""
        return list(self._request("GET", "jobs"))

    def put_logs(
        self, group: str, stream: str, events: list[dict[str, Any]], *, region: str | None = None
    ) -> None:
        """Write log events (`timestamp` in ms, `message`); make group and stream if needed.

        Without `region`, they go to the region of the job in the stream's name.
        """
        self._request("POST", "logs", _where(group, stream, region) | {"events": events})

    def filler(self, group: str, stream: str, count: int, *, region: str | None = None) -> None:
        """Append `count` lines as an ordinary training run writes them."""
        self._request("POST", "filler", _where(group, stream, region) | {"count": count})

    def put_image(self, uri: str, config: dict[str, Any], **options: Any) -> str:
        """Register an image in ECR, in any account and region; return its digest.

        Args:
            uri: `ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG`.
            config: the image's settings: Entrypoint, Cmd, Env, User, WorkingDir, Labels, ...
            **options: `history`, `architecture`, `form`, `index` and `at` of `ecr.images.push`.

        Raises:
            ControlError: `uri` is not an image in ECR with a tag, or there is no such option.
        """
        body = {"uri": uri, "config": config, **options}
        return str(self._request("PUT", "images", body)["digest"])

    def image(self, uri: str) -> dict[str, Any]:
        """The config of an image, of several the one for amd64: `config`, `history`, ...

        Raises:
            ControlError: There is no such image.
        """
        return dict(self._request("POST", "images", {"uri": uri}))

    def faults(self, **changes: Any) -> dict[str, Any]:
        """Set these faults and keep the others; return the whole fault document."""
        if not changes:
            return dict(self._request("GET", "faults"))
        return dict(self._request("PATCH", "faults", changes))

    def replace_faults(self, document: dict[str, Any]) -> dict[str, Any]:
        """Set exactly these faults."""
        return dict(self._request("PUT", "faults", document))

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._request("DELETE", "faults")

    def sessions(self) -> list[str]:
        """The ids of the open sessions."""
        return list(self._request("GET", "sessions"))

    def _request(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - the endpoint is ours, http
            self._base + path,
            data=data,
            method=method,
            headers={"Content-Type": "application/json"},
        )
        try:
            with _OPENER.open(request, timeout=_TIMEOUT_S) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise ControlError(json.load(error)["error"]) from None


def _where(group: str, stream: str, region: str | None) -> dict[str, Any]:
    return {"group": group, "stream": stream, **({"region": region} if region else {})}

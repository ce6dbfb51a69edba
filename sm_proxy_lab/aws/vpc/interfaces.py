"""The network interfaces that SageMaker makes in the user's VPC, as EC2 shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sm_proxy_lab.aws.http.call import DEFAULT_REGION
from sm_proxy_lab.aws.vpc import records


@dataclass
class Interfaces:
    """The interfaces of SageMaker's machines in enforced VPCs, or in every VPC."""

    every_vpc: bool = False
    _ids: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def add(
        self,
        addresses: Sequence[str],
        macs: Sequence[str],
        groups: Sequence[str],
        owner: str,
        region: str = DEFAULT_REGION,
    ) -> None:
        """Show an interface for each address that is in a subnet.

        Args:
            addresses: the machines' addresses.
            macs: the MAC address of each; empty in loopback mode, which has no such interfaces.
            groups: ids of the security groups.
            owner: the name of the job or notebook.
            region: where it is.
        """
        text = f"[Do not delete] Network interface of the SageMaker resource {owner}"
        for address, mac in zip(addresses, macs, strict=False):
            if mac:
                made = records.add_interface(
                    region, address, mac, groups, text, every_vpc=self.every_vpc
                )
                self._ids.setdefault(owner, []).extend([(region, made)] if made else [])

    def remove(self, owner: str) -> None:
        """Remove the interfaces of a job that has ended."""
        for region, made in self._ids.pop(owner, []):
            records.remove_interfaces(region, [made])

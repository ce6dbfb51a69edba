"""Is this machine inside a job's VPC? Proof from AWS, without a packet to the container.

An address alone proves nothing: a home network may have the same numbers. Each of these does:

- On EC2, the instance metadata (IMDSv2) names the VPC of each network interface. It is asked only
  if the hardware says EC2, or if the user has set its endpoint.
- In SageMaker Studio and notebook instances, a metadata file names the domain or the notebook, and
  SageMaker tells its VPC.
- Elsewhere, such as in a container: the network interface with our address in that VPC has the MAC
  address of our interface.

Outside of AWS this takes well under a millisecond and makes no call. An answer is cached for the
network that this machine is in.
"""

from __future__ import annotations

import ipaddress
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.local import debug_log, network_place, paths
from sm_proxy.state.cache import Cache

_CACHE: Final = "places"
_INSIDE_S: Final = 24 * 3600.0
_OUTSIDE_S: Final = 3600.0
"""A permission may be granted, so this is asked again soon."""
_DMI: Final = "/sys/class/dmi/id"
_XEN: Final = "/sys/hypervisor/uuid"
_IN_AWS: Final = (
    *("AWS_EXECUTION_ENV", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
    *("AWS_CONTAINER_CREDENTIALS_FULL_URI", "ECS_CONTAINER_METADATA_URI_V4"),
)
"""Variables of containers in AWS: ECS, CloudShell, Studio."""
_ANYWHERE: Final = "192.0.2.1"
"""An address for documentation (RFC 5737), to learn which interface the default route has."""
_BLOCKS: Final = {4: 16, 6: 56}
"""The prefix of the largest address range that a VPC can have, by IP version."""


class Place(NamedTuple):
    """Whether this machine is inside a VPC.

    Attributes:
        inside: whether that is proven.
        reason: how it is known, in one clause for people.
        lasting: whether that may be cached; False if AWS could not be asked.
    """

    inside: bool
    reason: str
    lasting: bool = True


class Finding(NamedTuple):
    """The result of one proof.

    Attributes:
        vpcs: the ids of the VPCs that this machine is in.
        how: what names them, or why there is none.
        lasting: as in `Place`.
    """

    vpcs: frozenset[str]
    how: str
    lasting: bool = True

    @property
    def reason(self) -> str:
        """The finding as a clause."""
        named = ", ".join(sorted(self.vpcs))
        return f"this machine is in {named} ({self.how})" if named else self.how


_Proof = Callable[[], Finding]


def prove(aws: Aws, vpc_id: str, address: str, *, fresh: bool = False) -> Place:
    """Whether this machine is inside `vpc_id`, where packets to `address` would go.

    Args:
        aws: for the calls, of which a refused one proves nothing.
        vpc_id: of the job.
        address: of its container.
        fresh: whether to ask again what the cache knows.
    """
    own = network_place.source_address(address)
    if own is None:
        return Place(inside=False, reason=f"this machine has no route to {address}")
    proofs = _proofs(aws, own, address)
    if not proofs:
        return Place(inside=False, reason=f"nothing says that this machine is in {vpc_id}")
    cache, key = Cache(_CACHE), (aws.scope, vpc_id, network_place.fingerprint())
    known = None if fresh else _from_record(cache.load(*key))
    if known is not None:
        return known
    place = _first_proof(proofs, vpc_id)
    if place.lasting:
        expires = time.time() + (_INSIDE_S if place.inside else _OUTSIDE_S)
        cache.save(*key, record={"inside": place.inside, "reason": place.reason}, expires=expires)
    return place


def own_vpcs(aws: Aws) -> Finding | None:
    """The VPCs that this machine is in, whichever job is asked about; None if none is known.

    Asks AWS only where something says that this machine is in AWS.
    """
    own = network_place.source_address(_ANYWHERE)
    for proof in _proofs(aws, own, None):
        finding = _settled(proof)
        if finding.vpcs:
            return finding
    return None


def _proofs(aws: Aws, own: str | None, address: str | None) -> list[_Proof]:
    """The proofs that may hold here; empty outside of AWS. Reads only what the kernel knows."""
    found: list[_Proof] = []
    if endpoint := _metadata_endpoint():
        found.append(lambda: _by_instance_metadata(endpoint))
    if (resource := Path(paths.SAGEMAKER_METADATA)).exists():
        found.append(lambda: _by_resource(aws, resource))
    in_aws = bool(found) or any(name in os.environ for name in _IN_AWS)
    if own and (in_aws or _same_block(own, address)):
        found.append(lambda: _by_interface(aws, own))
    return found


def _settled(proof: _Proof) -> Finding:
    """The result of the proof; it does not last if AWS could not be asked."""
    try:
        finding = proof()
    except SmProxyError as error:
        finding = Finding(frozenset(), error.message, lasting=False)
    debug_log.write("place", found=finding.reason)
    return finding


def _first_proof(proofs: list[_Proof], vpc_id: str) -> Place:
    """The first proof that holds; else the reasons of all."""
    failed: list[Finding] = []
    for proof in proofs:
        finding = _settled(proof)
        if vpc_id in finding.vpcs:
            return Place(inside=True, reason=f"this machine is in {vpc_id} ({finding.how})")
        failed.append(finding)
    reason = ", ".join(finding.reason for finding in failed)
    return Place(inside=False, reason=reason, lasting=all(finding.lasting for finding in failed))


def _from_record(record: dict[str, object] | None) -> Place | None:
    inside, reason = (record or {}).get("inside"), (record or {}).get("reason")
    if not isinstance(inside, bool) or not isinstance(reason, str):
        return None
    return Place(inside, reason)


def _same_block(own: str, address: str | None) -> bool:
    """Whether both addresses may be in one address range of a VPC."""
    if address is None:
        return False
    here, there = ipaddress.ip_address(own), ipaddress.ip_address(address)
    if here.version != there.version or here.is_loopback:
        return False
    return there in ipaddress.ip_network(f"{own}/{_BLOCKS[here.version]}", strict=False)


def _metadata_endpoint() -> str | None:
    """The URL of the instance metadata; None if this is no EC2 instance, or it is forbidden."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    if named := os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"):
        return named
    if not _is_ec2():
        return None
    ipv6 = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").lower() == "ipv6"
    return "http://[fd00:ec2::254]" if ipv6 else "http://169.254.169.254"


def _is_ec2() -> bool:
    """Whether the hardware says EC2.

    Nitro says so in DMI, Xen in the DMI version or the hypervisor's UUID (AWS documentation
    "Detect whether a host is an EC2 instance"). A Mac says nothing.
    """
    if sys.platform == "win32":
        return _is_ec2_windows()
    words = (_text(f"{_DMI}/{name}") for name in ("sys_vendor", "product_version", "bios_version"))
    return any("amazon" in word for word in words) or _text(_XEN).startswith("ec2")


def _is_ec2_windows() -> bool:
    import winreg  # noqa: PLC0415 - only there

    try:
        with winreg.OpenKey(  # type: ignore[attr-defined,unused-ignore]
            winreg.HKEY_LOCAL_MACHINE,  # type: ignore[attr-defined,unused-ignore]
            r"HARDWARE\DESCRIPTION\System\BIOS",
        ) as key:
            value, _ = winreg.QueryValueEx(  # type: ignore[attr-defined,unused-ignore]
                key, "SystemManufacturer"
            )
    except OSError:
        return False
    return "amazon" in str(value).lower()


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip().lower()
    except OSError:
        return ""


def _by_instance_metadata(endpoint: str) -> Finding:
    from sm_proxy.aws import instance_metadata  # noqa: PLC0415 - only on EC2

    vpcs = instance_metadata.own_vpcs(endpoint)
    how = "instance metadata" if vpcs else "the instance metadata does not answer"
    return Finding(vpcs, how)


def _by_resource(aws: Aws, resource: Path) -> Finding:
    from sm_proxy.aws import studio  # noqa: PLC0415 - only in Studio and notebooks

    vpc_id, how = studio.own_vpc(aws, resource)
    return Finding(frozenset({vpc_id} if vpc_id else ()), how)


def _by_interface(aws: Aws, own: str) -> Finding:
    """Compare the MAC of each network interface with our address with that of our own."""
    by = "ipv6-addresses.ipv6-address" if ":" in own else "addresses.private-ip-address"
    filters = [{"Name": by, "Values": [own]}]
    answer = aws.call_if_allowed("ec2", "DescribeNetworkInterfaces", Filters=filters)
    if answer is None:
        return Finding(frozenset(), "ec2:DescribeNetworkInterfaces is denied")
    macs = {item.mac for item in network_place.own_interfaces() if item.address == own and item.mac}
    for item in answer.get("NetworkInterfaces", []):
        if str(item.get("MacAddress", "")).lower() in macs and item.get("VpcId"):
            how = f"its interface {item.get('NetworkInterfaceId')}"
            return Finding(frozenset({str(item["VpcId"])}), how)
    return Finding(frozenset(), f"no network interface of this account is this machine's {own}")

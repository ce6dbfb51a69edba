"""A shell on an EC2 instance in the subnet of the job's first node."""

from __future__ import annotations

import json
import uuid
from typing import Final

from sm_proxy_lab.account import IMAGE, REGION, Ec2Instance
from sm_proxy_lab.machines import network, role_credentials
from sm_proxy_lab.machines.instance_metadata import ADDRESS, InstanceMetadata
from sm_proxy_lab.machines.network import NODE_SUBNETS, VPC_CIDR
from sm_proxy_lab.terminals.place import Site, Terminal

_OWNER: Final = IMAGE.partition(".")[0]
_TYPE: Final = "t3.small"
_ZONE: Final = f"{REGION}b"
_AMI: Final = "ami-0123456789abcdef0"
_ROLE: Final = role_credentials.ARN.rpartition("/")[2]
# On EC2 the service answers at once; also the SDKs ask it unless this variable forbids it.
_ALLOWED: Final[dict[str, str | None]] = {"AWS_EC2_METADATA_DISABLED": None}


def build(site: Site) -> Terminal:
    """Launch the instance and connect it to the VPC."""
    net, subnet = site.network, site.vpc.subnets[0]
    if not isinstance(net, network.NetnsNetwork):
        address = net.plug_node(None).address
        machine = site.account.run_instance("inside", subnet, site.vpc.group)
        server = network.listening((address, 0))
        metadata = InstanceMetadata(values(machine, site, address))
        where = f"http://{address}:{server.getsockname()[1]}"
        changes = {**_ALLOWED, "AWS_EC2_METADATA_SERVICE_ENDPOINT": where}
        return Terminal(variables=changes, servers=[(server, metadata.serve)])
    cable = net.plug_node(NODE_SUBNETS[0])
    machine = site.account.run_instance("inside", subnet, site.vpc.group, cable.address)
    network.set_mac(cable, machine.mac)
    metadata = InstanceMetadata(values(machine, site, cable.address), cable.address)
    server = net.metadata_socket(ADDRESS)
    return Terminal(cable.netns, firmware(machine.id), _ALLOWED, [(server, metadata.serve)])


def firmware(instance: str) -> dict[str, dict[str, object]]:
    """What a Nitro instance shows of its firmware (DMI)."""
    amazon = "Amazon EC2"
    dmi = {
        **dict.fromkeys(("sys_vendor", "bios_vendor", "board_vendor", "chassis_vendor"), amazon),
        "board_asset_tag": instance,
        "chassis_asset_tag": amazon,
        "product_name": _TYPE,
        "product_uuid": "ec2" + str(uuid.uuid4())[3:],
    }
    text = {name: f"{value}\n" for name, value in dmi.items()}
    return {"/sys/class": {"dmi": {"id": text}}}


def values(machine: Ec2Instance, site: Site, address: str) -> dict[str, str]:
    """The instance's metadata: path below /latest/ -> content."""
    meta = _about_instance(machine, site, address)
    macs = f"network/interfaces/macs/{machine.mac}/"
    meta |= {macs + name: value for name, value in _about_interface(machine, site, address).items()}
    return {
        "dynamic/instance-identity/document": json.dumps(_identity(machine, address)),
        **{f"meta-data/{path}": value for path, value in meta.items()},
    }


def _identity(machine: Ec2Instance, address: str) -> dict[str, str]:
    return {
        "accountId": _OWNER,
        "availabilityZone": _ZONE,
        "imageId": _AMI,
        "instanceId": machine.id,
        "instanceType": _TYPE,
        "privateIp": address,
        "region": REGION,
        "version": "2017-09-30",
    }


def _about_instance(machine: Ec2Instance, site: Site, address: str) -> dict[str, str]:
    credentials = {
        "Code": "Success",
        "Type": "AWS-HMAC",
        **role_credentials.credentials_document(),
    }
    return {
        "ami-id": _AMI,
        "hostname": _host_name(address),
        "iam/security-credentials/" + _ROLE: json.dumps(credentials),
        "instance-id": machine.id,
        "instance-type": _TYPE,
        "local-hostname": _host_name(address),
        "local-ipv4": address,
        "mac": machine.mac,
        "placement/availability-zone": _ZONE,
        "placement/region": REGION,
        "security-groups": site.vpc.group,
        "services/domain": "amazonaws.com",
        "services/partition": "aws",
    }


def _about_interface(machine: Ec2Instance, site: Site, address: str) -> dict[str, str]:
    return {
        "device-number": "0",
        "interface-id": machine.interface,
        "local-hostname": _host_name(address),
        "local-ipv4s": address,
        "mac": machine.mac,
        "owner-id": _OWNER,
        "security-group-ids": site.vpc.group,
        "subnet-id": site.vpc.subnets[0],
        "subnet-ipv4-cidr-block": NODE_SUBNETS[0],
        "vpc-id": site.vpc.vpc_id,
        "vpc-ipv4-cidr-block": VPC_CIDR,
        "vpc-ipv4-cidr-blocks": VPC_CIDR,
    }


def _host_name(address: str) -> str:
    return f"ip-{address.replace('.', '-')}.ec2.internal"

"""The types of resources that the lab's CloudFormation has. A new type is one class and one row."""

from __future__ import annotations

from typing import Final

from sm_proxy_lab.aws.cloudformation.resource_type import ResourceType
from sm_proxy_lab.aws.cloudformation.types import gateways, groups, iam, machines, network, storage
from sm_proxy_lab.aws.cloudformation.types.build import Project

TYPES: Final[dict[str, ResourceType]] = {
    "AWS::AutoScaling::AutoScalingGroup": machines.AutoScalingGroup(),
    "AWS::CodeBuild::Project": Project(),
    "AWS::EC2::EIP": gateways.Eip(),
    "AWS::EC2::InternetGateway": gateways.InternetGateway(),
    "AWS::EC2::LaunchTemplate": machines.LaunchTemplate(),
    "AWS::EC2::NatGateway": gateways.NatGateway(),
    "AWS::EC2::Route": network.Route(),
    "AWS::EC2::RouteTable": network.RouteTable(),
    "AWS::EC2::SecurityGroup": groups.SecurityGroup(),
    "AWS::EC2::SecurityGroupEgress": groups.SecurityGroupRule("Egress"),
    "AWS::EC2::SecurityGroupIngress": groups.SecurityGroupRule("Ingress"),
    "AWS::EC2::Subnet": network.Subnet(),
    "AWS::EC2::SubnetRouteTableAssociation": network.RouteTableAssociation(),
    "AWS::EC2::VPC": network.Vpc(),
    "AWS::EC2::VPCEndpoint": gateways.VpcEndpoint(),
    "AWS::EC2::VPCGatewayAttachment": gateways.Attachment(),
    "AWS::IAM::InstanceProfile": iam.InstanceProfile(),
    "AWS::IAM::ManagedPolicy": iam.ManagedPolicy(),
    "AWS::IAM::Role": iam.Role(),
    "AWS::Logs::LogGroup": storage.LogGroup(),
    "AWS::S3::Bucket": storage.Bucket(),
    "AWS::S3::BucketPolicy": storage.BucketPolicy(),
}

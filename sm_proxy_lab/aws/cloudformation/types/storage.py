"""Buckets and log groups."""

from __future__ import annotations

import json
from typing import Any, Final

from sm_proxy_lab.aws.cloudformation.resource_type import Context, Made, Properties, ResourceType
from sm_proxy_lab.aws.http.call import ACCOUNT


class Bucket(ResourceType):
    """AWS::S3::Bucket."""

    in_place = frozenset(
        {
            *("BucketEncryption", "LifecycleConfiguration", "OwnershipControls"),
            *("PublicAccessBlockConfiguration", "VersioningConfiguration"),
        }
    )
    fixed = frozenset({"BucketName"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Make it, with its settings."""
        s3 = context.client("s3")
        name = properties.get("BucketName") or context.unique_name(63).lower()
        place = {"CreateBucketConfiguration": {"LocationConstraint": context.region}}
        s3.create_bucket(Bucket=name, **({} if context.region == _HOME else place))
        context.begun(Made(name))
        _set(s3, name, {}, properties)
        tags = context.tag_list(properties, marked=False)
        if tags:
            s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
        suffix = "amazonaws.com.cn" if context.partition == "aws-cn" else "amazonaws.com"
        return Made(
            name,
            {
                "Arn": f"arn:{context.partition}:s3:::{name}",
                "DomainName": f"{name}.s3.{suffix}",
                "RegionalDomainName": f"{name}.s3.{context.region}.{suffix}",
            },
        )

    def update(self, context: Context, made: Made, old: Properties, new: Properties) -> Made:
        """Change its settings."""
        _set(context.client("s3"), made.id, old, new)
        return made

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """Delete it; S3 refuses if it is not empty."""
        context.client("s3").delete_bucket(Bucket=made.id)

    def read(self, context: Context, made: Made, properties: Properties) -> Properties:
        """Whether the public may read it."""
        s3 = context.client("s3")
        s3.head_bucket(Bucket=made.id)
        name = "PublicAccessBlockConfiguration"
        if name not in properties:
            return {}
        return {name: s3.get_public_access_block(Bucket=made.id)[name]}


_HOME: Final = "us-east-1"
"""The region whose buckets are made without a location."""


def _set(s3: Any, bucket: str, old: Properties, new: Properties) -> None:
    """Set what differs. A setting that is gone from the template stays."""

    def differs(name: str) -> bool:
        return name in new and new[name] != old.get(name)

    if differs("BucketEncryption"):
        rules = [
            {
                "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
                "BucketKeyEnabled": bool(rule.get("BucketKeyEnabled", False)),
            }
            for rule in new["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        ]
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})
    if differs("PublicAccessBlockConfiguration"):
        block = new["PublicAccessBlockConfiguration"]
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=block)
    if differs("OwnershipControls"):
        s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=new["OwnershipControls"])
    if differs("VersioningConfiguration"):
        status = new["VersioningConfiguration"]
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=status)
    if differs("LifecycleConfiguration"):
        rules = [_lifecycle(rule) for rule in new["LifecycleConfiguration"]["Rules"]]
        s3.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": rules}
        )


def _lifecycle(rule: Properties) -> dict[str, Any]:
    """A rule of a template as S3's API takes it."""
    found: dict[str, Any] = {"Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "Id" in rule:
        found["ID"] = rule["Id"]
    if "ExpirationInDays" in rule:
        found["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    if "NoncurrentVersionExpiration" in rule:
        days = int(rule["NoncurrentVersionExpiration"]["NoncurrentDays"])
        found["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    if "AbortIncompleteMultipartUpload" in rule:
        days = int(rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"])
        found["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
    return found


class BucketPolicy(ResourceType):
    """AWS::S3::BucketPolicy."""

    in_place = frozenset({"PolicyDocument"})
    fixed = frozenset({"Bucket"})
    required = frozenset({"Bucket", "PolicyDocument"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Give the bucket its policy."""
        self._put(context, properties)
        return Made(properties["Bucket"])

    def update(self, context: Context, made: Made, _old: Properties, new: Properties) -> Made:
        """Give the bucket another policy."""
        self._put(context, new)
        return made

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """Take the policy away."""
        context.client("s3").delete_bucket_policy(Bucket=made.id)

    def read(self, context: Context, made: Made, _properties: Properties) -> Properties:
        """The policy."""
        found = context.client("s3").get_bucket_policy(Bucket=made.id)["Policy"]
        return {"PolicyDocument": json.loads(found)}

    @staticmethod
    def _put(context: Context, properties: Properties) -> None:
        text = json.dumps(properties["PolicyDocument"])
        context.client("s3").put_bucket_policy(Bucket=properties["Bucket"], Policy=text)


class LogGroup(ResourceType):
    """AWS::Logs::LogGroup."""

    in_place = frozenset({"RetentionInDays"})
    fixed = frozenset({"LogGroupName"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Make it, with its retention."""
        logs = context.client("logs")
        name = properties.get("LogGroupName") or context.unique_name()
        tags = {tag["Key"]: tag["Value"] for tag in context.tag_list(properties, marked=False)}
        logs.create_log_group(logGroupName=name, **({"tags": tags} if tags else {}))
        place = f"{context.region}:{ACCOUNT}"
        found = Made(name, {"Arn": f"arn:{context.partition}:logs:{place}:log-group:{name}:*"})
        context.begun(found)
        _retain(logs, name, properties)
        logs.describe_log_groups(logGroupNamePrefix=name)
        return found

    def update(self, context: Context, made: Made, _old: Properties, new: Properties) -> Made:
        """Change its retention."""
        _retain(context.client("logs"), made.id, new)
        return made

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """Delete it, with its streams."""
        context.client("logs").delete_log_group(logGroupName=made.id)


def _retain(logs: Any, group: str, properties: Properties) -> None:
    if "RetentionInDays" in properties:
        days = int(properties["RetentionInDays"])
        logs.put_retention_policy(logGroupName=group, retentionInDays=days)

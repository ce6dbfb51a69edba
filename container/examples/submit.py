# ruff: noqa: INP001 - an example, to be copied
"""Submit a job that lets this laptop in (boto3; fill in the upper-case names)."""

import subprocess

import boto3

keys = subprocess.run(
    ["sm-proxy", "keys", "show", "--env"], check=True, capture_output=True, text=True
).stdout
environment = dict(line.split("=", 1) for line in keys.splitlines())

boto3.client("sagemaker").create_training_job(
    TrainingJobName="my-job",
    AlgorithmSpecification={"TrainingImage": "IMAGE", "TrainingInputMode": "File"},
    RoleArn="ROLE",
    OutputDataConfig={"S3OutputPath": "s3://BUCKET/output"},
    ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
    VpcConfig={"Subnets": ["SUBNET"], "SecurityGroupIds": ["GROUP"]},
    StoppingCondition={"MaxRuntimeInSeconds": 86400},
    # A failed job can be looked at for half an hour, and while you are in it, up to 8 hours.
    Environment={
        **environment,
        "SM_PROXY_KEEP_FAILURE": "30m",
        "SM_PROXY_KEEP_CONNECTED": "8h",
    },
)

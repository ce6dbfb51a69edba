import os

from sagemaker import Session
from sagemaker.estimator import Estimator

estimator = Estimator(
    image_uri="123456789012.dkr.ecr.us-east-1.amazonaws.com/theirs:1",
    role="arn:aws:iam::123456789012:role/sm-proxy-lab",
    instance_type="ml.m5.xlarge",
    instance_count=2,
    container_entry_point=["python3", "-c"],
    container_arguments=["print('two words')"],
    subnets=[os.environ["SUBNET"]],
    security_group_ids=[os.environ["SECURITY_GROUP"]],
    base_job_name="sdk2-estimator",
    sagemaker_session=Session(default_bucket="sm-proxy-lab"),
)

if __name__ == "__main__":
    estimator.fit({"training": "s3://sm-proxy-lab/data/"}, wait=False)

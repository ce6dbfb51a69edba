import os

from sagemaker.core.helper.session_helper import Session
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, Networking

trainer = ModelTrainer(
    training_image="123456789012.dkr.ecr.us-east-1.amazonaws.com/theirs:1",
    compute=Compute(instance_type="ml.m5.xlarge", instance_count=1),
    networking=Networking(
        subnets=[os.environ["SUBNET"]], security_group_ids=[os.environ["SECURITY_GROUP"]]
    ),
    input_data_config=[InputData(channel_name="training", data_source="s3://sm-proxy-lab/data/")],
    environment={"STAGE": "test"},
    role="arn:aws:iam::123456789012:role/sm-proxy-lab",
    base_job_name="sdk3-image",
    sagemaker_session=Session(default_bucket="sm-proxy-lab"),
)

if __name__ == "__main__":
    trainer.train(wait=False)

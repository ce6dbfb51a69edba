from pathlib import Path

from sagemaker import Session
from sagemaker.pytorch import PyTorch

ROLE = "arn:aws:iam::123456789012:role/sm-proxy-lab"

estimator = PyTorch(
    entry_point="train.py",
    source_dir=str(Path(__file__).with_name("source")),
    image_uri="123456789012.dkr.ecr.us-east-1.amazonaws.com/theirs:1",
    role=ROLE,
    instance_type="ml.m5.xlarge",
    instance_count=1,
    hyperparameters={"epochs": 3, "name": "two words"},
    base_job_name="sdk2-framework",
    sagemaker_session=Session(default_bucket="sm-proxy-lab"),
)

if __name__ == "__main__":
    estimator.fit(wait=False)

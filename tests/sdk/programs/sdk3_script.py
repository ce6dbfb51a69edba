from pathlib import Path

from sagemaker.core.helper.session_helper import Session
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, SourceCode

trainer = ModelTrainer(
    training_image="123456789012.dkr.ecr.us-east-1.amazonaws.com/theirs:1",
    source_code=SourceCode(
        source_dir=str(Path(__file__).with_name("source")), entry_script="train.py"
    ),
    compute=Compute(instance_type="ml.m5.xlarge", instance_count=1),
    hyperparameters={"epochs": 3, "name": "two words"},
    role="arn:aws:iam::123456789012:role/sm-proxy-lab",
    base_job_name="sdk3-script",
    sagemaker_session=Session(default_bucket="sm-proxy-lab"),
)

if __name__ == "__main__":
    trainer.train(wait=False)

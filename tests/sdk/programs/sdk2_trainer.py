from pathlib import Path

from sagemaker_core.helper.session_helper import Session
from sagemaker.modules.configs import Compute, SourceCode
from sagemaker.modules.train import ModelTrainer

trainer = ModelTrainer(
    training_image="123456789012.dkr.ecr.us-east-1.amazonaws.com/theirs:1",
    source_code=SourceCode(
        source_dir=str(Path(__file__).with_name("source")), entry_script="train.py"
    ),
    compute=Compute(instance_type="ml.m5.xlarge", instance_count=1),
    role="arn:aws:iam::123456789012:role/sm-proxy-lab",
    base_job_name="sdk2-trainer",
    sagemaker_session=Session(default_bucket="sm-proxy-lab"),
)

if __name__ == "__main__":
    trainer.train(wait=False)

from pathlib import Path

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.processing import ScriptProcessor

processor = ScriptProcessor(
    image_uri="123456789012.dkr.ecr.us-east-1.amazonaws.com/theirs:1",
    command=["python3"],
    role="arn:aws:iam::123456789012:role/sm-proxy-lab",
    instance_type="ml.m5.xlarge",
    instance_count=1,
    base_job_name="sdk3-processor",
    sagemaker_session=Session(default_bucket="sm-proxy-lab"),
)

if __name__ == "__main__":
    processor.run(
        code=str(Path(__file__).parent / "source" / "helper.py"),
        arguments=["--rows", "3"],
        wait=False,
    )

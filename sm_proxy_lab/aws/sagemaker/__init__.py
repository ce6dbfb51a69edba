"""SageMaker: training jobs, batch jobs and their lists."""

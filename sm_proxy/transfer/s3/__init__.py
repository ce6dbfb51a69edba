"""Copies by S3.

Files in a folder that SageMaker copies to S3 (`synced`) come from there, if their copy is current
(`choice`, `downloads`); a job that has ended has nothing else (`ended`). Other files can be handed
over in a bucket that the user names: with URLs that the user's credentials have signed, the
container itself uploads or downloads (`hand_over`).
"""

from sm_proxy.transfer.s3.choice import Plan, plan
from sm_proxy.transfer.s3.copying import Result, run
from sm_proxy.transfer.s3.ended import Files

__all__ = ["Files", "Plan", "Result", "plan", "run"]

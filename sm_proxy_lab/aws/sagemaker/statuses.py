"""The statuses of a training job. `lab run` reads them for its options: keep botocore out."""

from __future__ import annotations

# SecondaryStatus -> (TrainingJobStatus, its first StatusMessage).
STATUSES = {
    "Starting": ("InProgress", "Starting the training job"),
    "Pending": ("InProgress", "Training job waiting for capacity"),
    "Downloading": ("InProgress", "Downloading input data"),
    "Training": ("InProgress", "Training image download completed. Training in progress."),
    "Uploading": ("InProgress", "Uploading generated training model"),
    "Interrupted": ("InProgress", "Training job interrupted"),
    "Restarting": ("InProgress", "Restarting the training job"),
    "Updating": ("InProgress", "Updating the training job"),
    "Stopping": ("Stopping", "Stopping the training job"),
    "Completed": ("Completed", "Training job completed"),
    "Failed": ("Failed", "Training job failed"),
    "Stopped": ("Stopped", "Training job stopped"),
    "MaxRuntimeExceeded": (
        "Stopped",
        "Training job runtime exceeded MaxRuntimeInSeconds provided",
    ),
    "MaxWaitTimeExceeded": (
        "Stopped",
        "Training job wait time exceeded MaxWaitTimeInSeconds provided",
    ),
}
ENDS = {"Completed", "Failed", "Stopped"}

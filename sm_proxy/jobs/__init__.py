"""What a job is: names, Describe calls, logs and markers."""

"""The loopback endpoint of `launch -- CMD`, which adds ssh to the jobs that CMD creates."""

"""What a job's machine looks like from inside: asked with a shell script, read on the laptop."""

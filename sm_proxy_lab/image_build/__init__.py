"""Stand-ins for `docker` and `aws`, as a build of CodeBuild finds them on its PATH."""

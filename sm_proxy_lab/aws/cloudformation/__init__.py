"""The lab's CloudFormation."""

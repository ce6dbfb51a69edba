"""The lab's EC2 Auto Scaling."""

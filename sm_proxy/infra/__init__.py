"""The network, the bastion and the roles that sm-proxy needs, as a CloudFormation stack."""

"""What TAB completes in bash, zsh and fish: the shells' scripts ask `sm-proxy completion query`."""

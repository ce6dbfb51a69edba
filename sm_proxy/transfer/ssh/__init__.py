"""ssh connections into one container, and requests to its SFTP server (or shell) over them."""

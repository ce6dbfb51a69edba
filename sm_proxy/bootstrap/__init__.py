"""Put our SSH server into a container that runs already and knows nothing of us.

A shell session of Session Manager is the only way in. `shell` runs commands in it, `files` sends
files, `server` starts the server and returns its marker.
"""

#!/bin/sh
# Run one ssh session, under a server that cannot set the environment of sessions (dropbear):
#
#     session.sh RUN_DIR      with the client's command in SSH_ORIGINAL_COMMAND
#
# It becomes the user's shell, with the environment of the job.

# shellcheck source=/dev/null
if [ -r "$1/environment.sh" ]; then . "$1/environment.sh"; fi
shell=${SHELL:-/bin/sh}
[ -x "$shell" ] || shell=/bin/sh
asked=${SSH_ORIGINAL_COMMAND-}
unset SSH_ORIGINAL_COMMAND
case $asked in
    '') exec "$shell" -l ;;
    *[!A-Za-z0-9/._\ -]*) ;;
    *sftp-server) # dropbear's built-in path: some systems have it elsewhere
        for program in "${asked#exec }" /usr/lib/openssh/sftp-server /usr/lib/sftp-server \
            /usr/libexec/openssh/sftp-server /usr/libexec/sftp-server /usr/lib/ssh/sftp-server; do
            [ ! -x "$program" ] || exec "$program"
        done
        echo 'sm-proxy: no sftp-server in this image: use sm-proxy cp, or install openssh-sftp-server' >&2
        exit 127
        ;;
esac
exec "$shell" -c "$asked"

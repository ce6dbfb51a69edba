# shellcheck shell=sh disable=SC3028 # only bash knows the path of a sourced file
# sm-proxy as a script's first line, sourced: ssh lives as long as that script.
#
#     . /opt/sm-proxy/start.sh
#
# A child process does all the work. So it changes no trap, option, variable, function, umask, folder or
# positional parameter of the caller, and it always succeeds. Only bash knows the path of a sourced file;
# in other shells SM_PROXY_HOME names the folder, and its default is /opt/sm-proxy.
/bin/sh -c '
    case $2 in
        */start.sh) home=${2%/*} ;;
        *) home=${1:-/opt/sm-proxy} ;;
    esac
    exec /bin/sh "$home/entrypoint.sh"
' sm-proxy "${SM_PROXY_HOME-}" "${BASH_SOURCE-}" </dev/null || :

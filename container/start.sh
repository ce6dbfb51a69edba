# shellcheck shell=sh disable=SC3028 # bash alone says where a sourced file lies
# sm-proxy for a script's own first line, sourced: ssh lives as long as that script does.
#
#     . /opt/sm-proxy/start.sh
#
# All work is done by a child, so that no trap, option, variable, function, umask, folder or
# positional parameter of the caller changes, and whatever goes wrong, this succeeds. Only bash says
# where a sourced file lies; other shells look in SM_PROXY_HOME, then in /opt/sm-proxy.
/bin/sh -c '
    case $2 in
        */start.sh) home=${2%/*} ;;
        *) home=${1:-/opt/sm-proxy} ;;
    esac
    exec /bin/sh "$home/entrypoint.sh"
' sm-proxy "${SM_PROXY_HOME-}" "${BASH_SOURCE-}" </dev/null || :

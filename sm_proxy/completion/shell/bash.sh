# The completion of sm-proxy for bash 3.2 and newer. It asks the program, so it need not change with it.

_sm_proxy() {
    local marks='' line i program=${1/#\~\//$HOME/}
    program=${program//\\/}
    COMPREPLY=()
    {
        IFS= read -r marks || return
        while IFS= read -r line; do
            COMPREPLY+=("$line")
        done
    } < <("$program" completion query bash "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" </dev/null 2>/dev/null)
    case " $marks " in
    *' program='*)
        # After `--`: what that program's own completion says, if bash-completion is loaded.
        for ((i = 1; i < COMP_CWORD; i++)); do
            [[ ${COMP_WORDS[i]} != -- ]] || break
        done
        if declare -F _comp_command_offset >/dev/null; then
            _comp_command_offset $((i + 1)) || :
        elif declare -F _command_offset >/dev/null; then
            _command_offset $((i + 1)) || :
        fi
        return
        ;;
    *' folder '*) compopt +o default -o dirnames 2>/dev/null ;;
    *' file '*)
        # With no candidate, bash completes files itself.
        if [[ ${#COMPREPLY[@]} -gt 0 ]]; then
            while IFS= read -r line; do
                [[ ! -d $line ]] || line+=/
                printf -v line %q "$line"
                COMPREPLY+=("$line")
            done < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
        fi
        ;;
    *) compopt +o default 2>/dev/null ;;
    esac
    if [[ " $marks " == *' nospace '* ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

# Newest first, where bash can leave the order alone (4.4 and newer).
complete -o nosort -o default -F _sm_proxy sm-proxy 2>/dev/null || complete -o default -F _sm_proxy sm-proxy

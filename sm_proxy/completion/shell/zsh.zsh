#compdef sm-proxy
# The completion of sm-proxy for zsh. It asks the program, so it need not change with it.

_sm_proxy() {
    local line word text marks program=${(Q)words[1]/#\~\//$HOME/}
    local -a lines pairs nospace
    lines=("${(@f)$($program completion query zsh "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" </dev/null 2>/dev/null)}")
    marks=" $lines[1] "
    if [[ $marks == *' program='* ]]; then
        # After `--`: what that program's own completion says.
        local -i before=${${marks##*program=}%% *}
        shift $before words
        (( CURRENT -= before ))
        _normal
        return
    fi
    [[ $PREFIX != --*=* ]] || compset -P 1 '*='
    for line in "${(@)lines[2,-1]}"; do
        word=${${line%%$'\t'*}//:/\\:} text=${line#*$'\t'}
        [[ -z $word ]] || pairs+=("$word${text:+:$text}")
    done
    [[ $marks != *' nospace '* ]] || nospace=(-S '')
    local -i failed=1
    (( ! $#pairs )) || { _describe -V -t values sm-proxy pairs "${nospace[@]}" && failed=0 }
    if [[ $marks == *' folder '* ]]; then
        _files -/ && failed=0
    elif [[ $marks == *' file '* ]]; then
        _files && failed=0
    fi
    return failed
}

# Autoloaded from a folder of $fpath, or read by .zshrc.
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _sm_proxy "$@"
else
    if (( ! $+functions[compdef] )); then
        autoload -Uz compinit
        compinit
    fi
    compdef _sm_proxy sm-proxy
fi

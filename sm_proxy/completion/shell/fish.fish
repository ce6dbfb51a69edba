# The completion of sm-proxy for fish. It asks the program, so it need not change with it.

function __sm_proxy_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l bare (string replace -ar '["\'\\\\]' '' -- $current)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    type -q -- $program
    or return
    set -l lines ($program completion query fish $words "$bare" </dev/null 2>/dev/null)
    or return
    set -l marks (string split ' ' -- $lines[1])
    set -l other (string match -r '^program=(\d+)$' -- $marks)
    if test (count $other) = 2
        # After `--`: what that program's own completion says.
        set -l rest (string escape -- $words[(math $other[2] + 1)..])
        complete -C (string join ' ' -- $rest $current)
        return
    end
    if test (count $lines) -gt 1
        printf '%s\n' $lines[2..]
    end
    if contains folder -- $marks
        __fish_complete_directories $current ''
    else if contains file -- $marks
        # As for a command without completions: fish reads the quotes in the word.
        complete -C "__sm_proxy_no_command $current"
    end
end

# -k: newest first, as the program says.
complete -c sm-proxy -k -f -a '(__sm_proxy_complete)'

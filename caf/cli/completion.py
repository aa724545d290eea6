"""Completion in bash, zsh and fish: `caf completion` prints what a shell asks with, and here it is answered.

typer's own would import every command for each answer, and rich to show its help.
"""

import os
import signal
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from caf.cli.options import UnusedConfig, UnusedState
from caf.cli.text import harmless

ASKED_BY = "_CAF_COMPLETE"
LIMIT = 2.0  # s; whatever hangs, nobody waits longer for a word
_BASH = """# caf completion bash
_caf() {
    local -a answer
    mapfile -t answer < <(_CAF_COMPLETE=bash "$1" "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    COMPREPLY=("${answer[@]:1}")
    if [[ ${answer[0]} == files ]]; then compopt -o default; fi
}
complete -F _caf caf
"""
_ZSH = """#compdef caf
# caf completion zsh
_caf() {
    local -a answer found
    local line
    answer=("${(@f)$(_CAF_COMPLETE=zsh "${words[1]}" "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ ${answer[1]} == files ]]; then _files; return; fi
    for line in "${(@)answer[2,-1]}"; do found+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}"); done
    _describe -V caf found
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then _caf "$@"; else compdef _caf caf; fi
"""
_FISH = """# caf completion fish
function __caf_complete
    set -l before (commandline -opc)
    set -l now (commandline -ct)
    set -l answer (env _CAF_COMPLETE=fish $before "$now" 2>/dev/null)
    if test "$answer[1]" = files
        __fish_complete_path "$now"
    else if set -q answer[2]
        printf '%s\\n' $answer[2..-1]
    end
end
complete -c caf -f -k -a '(__caf_complete)'
"""


class Shell(StrEnum):
    """The shells that there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


SCRIPTS = {Shell.BASH: _BASH, Shell.ZSH: _ZSH, Shell.FISH: _FISH}


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", show_default=False, help="bash, zsh or fish.")],
    config: UnusedConfig = None,
    state: UnusedState = None,
) -> None:
    """Print the script that lets a shell complete what you type.

    Commands, options, names of jobs and listeners, the newest runs, states. Put it where your shell looks:

    bash: ~/.local/share/bash-completion/completions/caf

    zsh: _caf, in a folder of $fpath

    fish: ~/.config/fish/completions/caf.fish

    To try it at once: source <(caf completion bash)

    Example: caf completion bash
    """
    print(SCRIPTS[shell], end="")


def answer(shell: str, words: Sequence[str]) -> None:
    """Print what the last of these words could become, a line each, after a line that says which kind it is.

    A shell shows no errors in the middle of a line, so there are none.
    """
    signal.signal(signal.SIGALRM, lambda _number, _frame: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    try:
        from caf.cli.completing import complete  # printing a script does without

        kind, found = complete(words, explained=shell != Shell.BASH)
    except Exception:
        return  # whatever it is: the command itself will say it
    print(kind)
    for word, text in found:
        print(harmless(word) if shell == Shell.BASH else f"{harmless(word)}\t{harmless(text)}")

"""``lading completion bash``: a completion script, generated from the table of commands."""

from __future__ import annotations

from lading.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lading.cli.context import Context
    from lading.flags import Command, Parsed

_HEAD = """\
# bash completion for lading: source this file, or put it in /usr/share/bash-completion/completions/lading
shopt -s extglob
_lading() {
  local cur=${COMP_WORDS[COMP_CWORD]} path=lading word
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in -*) ;; *) [[ -n ${_lading_words["$path $word"]+x} ]] && path="$path $word" ;; esac
  done
  local words=${_lading_words["$path"]} kind=${_lading_kinds["$path"]}
  if [[ $cur != -* ]]; then
    words=" $words"; words=${words// --+([^ ])/}
    case $kind in
      container) words="$words $(lading ps -a --format '{names}' 2>/dev/null)" ;;
      image) words="$words $(lading images --format '{name}' 2>/dev/null)" ;;
      pod) words="$words $(lading pod ps --format '{name}' 2>/dev/null)" ;;
      volume) words="$words $(lading volume ls -q 2>/dev/null)" ;;
      network) words="$words $(lading network ls --format '{name}' 2>/dev/null)" ;;
      file) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
declare -A _lading_words _lading_kinds
"""


def completion(context: Context, parsed: Parsed) -> int:
    """Print the script for a shell."""
    from lading.cli.commands import ROOT

    if parsed.args[0] != "bash":
        raise InvalidInput(f"no completion for {parsed.args[0]!r}", hint="the shell is bash")
    print(script(ROOT), end="")
    return 0


def script(root: Command) -> str:
    """The whole script."""
    lines = [_HEAD]
    _add(root, "lading", lines)
    lines.append("complete -o default -F _lading lading\n")
    return "".join(lines)


def _add(command: Command, path: str, lines: list[str]) -> None:
    words = [f"--{f.name}" for f in command.flags if not f.hidden]
    words += [c.name for c in command.commands if not c.hidden]
    lines.append(f"_lading_words['{path}']='{' '.join(words)}'\n")
    first = command.arguments.partition(" ")[0].strip("[].").lower()
    if first in ("container", "image", "pod", "volume", "network", "file"):
        lines.append(f"_lading_kinds['{path}']={first}\n")
    for child in command.commands:
        if not child.hidden:
            _add(child, f"{path} {child.name}", lines)

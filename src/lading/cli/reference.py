"""``docs/cli.md`` out of the table of commands: ``python -m lading.cli.reference > docs/cli.md``.

A test holds the page to the table, so that the reference cannot say what the command does not do.
"""

from __future__ import annotations

from lading.cli.commands import ROOT
from lading.cli.help import EXAMPLES, GROUPS
from lading.flaghelp import flag_meaning, flag_words
from lading.flags import Command, Flag, usage_line

HEAD = """\
# The command line

This page is made from the program's own table (`python -m lading.cli.reference`). `lading COMMAND --help` prints the
same for one command. Docker's names, flags and exit statuses are kept wherever they exist.

## Rules for all commands

* `--name VALUE` and `--name=VALUE` are the same; `-it` is `-i -t`; `--` ends the flags. A truth value is turned off by
  `--name=false`. Names are never abbreviated; for a typing error the nearest name is suggested.
* A flag or command of Docker's that Lading does not have is refused by its name. Nothing is ignored silently.
* An error is one line on standard error, `lading COMMAND: WHAT: WHY: WHAT TO DO`. `lading --debug COMMAND`, or a
  `$LADING_DEBUG` that is not empty, adds where in the program it comes from.
* `--format` takes `json` or Python's format fields (`'{id} {names}'`; in objects `{State.Pid}` or `{State[Pid]}`);
  `'table {id}\\t{names}'` prints a table with headings. Go templates are refused.
* A container of a pod is called `POD/CONTAINER`. A name, an id, or an unambiguous beginning of an id names a container.
* `$LADING_ROOT`, `$LADING_RUN` and `$LADING_CONFIG` say where images and pods, the state of running ones, and the configuration
  are. Two roots share nothing.

### Exit statuses

| status | when |
|---|---|
| 0 | it worked |
| 1 | the command failed, or failed for one of several objects; `check` found something |
| 125 | the command line is wrong, or `run` failed before the container started |
| 126, 127 | the container's command cannot be executed (or not in its working directory), or does not exist (`run`, `exec`) |
| 128+n | the container was ended by signal n |
| 130 | Ctrl-C |
| other | the container's own status (`run`, `start -a`, `attach`, `exec`) |

### In a terminal

`run -it`, `exec -it` and `attach` put the terminal into raw mode, follow its size, and put it back however they end.
Ctrl-P Ctrl-Q leaves the container running (`--detach-keys` chooses other keys). Without `-t`, signals go to the
container (`--sig-proxy=false`: they do not); with it, a signal that ends `lading` leaves the container running.

When nobody reads the output of `run` any more (`lading run … | head`), that stream of the container ends too, as in any pipeline:
its next write fails with EPIPE, or ends the writer by SIGPIPE, and the log has what was said until then. `docker run` leaves
such a container running unattended. With `-t` or `-d`, or while somebody is attached to it, the container goes on. A standard
stream that the caller closed (`>&-`) is /dev/null. A full disk does not end a container: it goes on, its log has all, and `run`
says at its end that the output was cut, and fails with 125.

The kernel keeps from the first process of a container every signal that it has no handler for, except KILL and STOP: `run` or
`start -a` of a bare `sleep` does not end by Ctrl-C or SIGTERM. `lading kill` ends it; `run --init` lets signals through.

A pod in the foreground (`pod run --rm` or `-a`) is stopped in good order by Ctrl-C, SIGTERM, SIGHUP or SIGQUIT, and at once by a
second one.

"""

TAIL = """\
## Details of some flags

### `-v`, `--mount`, `--tmpfs`

`-v [SOURCE:]TARGET[:OPTIONS]`: a SOURCE with a slash at its beginning (or `./`, `../`) is a directory of this
machine, made when it does not exist; a name is a volume; none is an anonymous volume. Options: `ro`, `rw`, `nocopy`,
`noexec`, `nosuid`, `nodev` (and their opposites), and for directories `private`, `rprivate`, `shared`, `rshared`,
`slave`, `rslave`. `cached`, `delegated` and `consistent` are accepted: what a container writes is always consistent
here. `z` and `Z` are accepted where SELinux is absent and refused where it is not. `U` and `O` are refused.

`--mount type=bind|volume|tmpfs,source=…,target=…`: `readonly`, `bind-propagation`, `bind-recursive=enabled|disabled`,
`bind-create-src`, `volume-nocopy`, `volume-driver`, `volume-opt`, `volume-subpath` (it has to exist; not with
`--runtime`), `tmpfs-size`, `tmpfs-mode`.

### `-p`

`[[ADDRESS:][PORT[-END]]:]PORT[-END][/PROTOCOL]`; protocols `tcp`, `udp`, `sctp`; an IPv6 address in brackets. Without
a host port, any free one. Ranges on both sides are equally long; a range on the host for one port takes the first
free one.

### `--network`

`bridge` (the default), `none`, `host`, `container:NAME`, or networks by name, more than once.
`name=NET,alias=A,ip=…,ip6=…,mac-address=…` says what the container is called there. On networks made by `lading
network create` containers find each other by name.

### `top` and `prune --filter`

`top CONTAINER COLUMN…` shows columns of its own table; options (`-o pid,comm`, `-ef`, `aux`) go to the ps(1) of this machine,
and the container's lines are chosen by its column PID.

`until=TIME` takes what is older, `label=NAME[=VALUE]` what has the label, `label!=NAME[=VALUE]` what has not. All that are
given have to hold. Volumes know no `until`.

### `--restart`

`no`, `on-failure[:N]`, `always`, `unless-stopped`. Not with `--rm`.

### What `run` refuses

"""


def markdown() -> str:
    """The whole page."""
    known = {c.name: c for c in ROOT.commands}
    parts = [
        HEAD,
        "### Examples\n\n```\n" + EXAMPLES.partition("\n")[2] + "```\n\n## Global options\n\n",
        _flags(ROOT),
        "\n",
    ]
    for title, names in GROUPS:
        parts.append(f"## {title}\n\n")
        for name in names:
            command = known[name]
            if command.commands:
                parts += [_section((ROOT, command, child)) for child in command.commands if not child.hidden]
            else:
                parts.append(_section((ROOT, command)))
    parts.append("## Groups\n\n")
    for name in ("container", "image"):
        children = ", ".join(f"`{c.name}`" for c in known[name].commands if not c.hidden)
        parts.append(f"`lading {name}`: the same commands by what they act on: {children}.\n\n")
    for name in ("container", "image"):
        # What a group has that stands nowhere else; ls and rm are ps and rm, images and rmi.
        for child in known[name].commands:
            if child not in ROOT.commands and child.name not in ("ls", "rm"):
                parts += _sections((ROOT, known[name], child))
    parts.append(TAIL)
    run = known["run"]
    parts += [
        f"* `--{flag.name}{'=false' * (flag.default is True)}`: {flag.refuse.removeprefix('not supported: ')}\n"
        for flag in run.flags
        if flag.refuse
    ]
    parts.append("\n### Commands of Docker's that are refused\n\n")
    parts += [f"* `{c.name}`: {c.refuse}\n" for c in ROOT.commands if c.refuse]
    return "".join(parts)


def _sections(path: tuple[Command, ...]) -> list[str]:
    """A command's section, or those of a group's commands."""
    if not path[-1].commands:
        return [_section(path)]
    return [text for child in path[-1].commands if not child.hidden for text in _sections((*path, child))]


def _section(path: tuple[Command, ...]) -> str:
    command = path[-1]
    about = command.description or command.summary
    text = f"### `{' '.join(c.name for c in path[1:])}`\n\n{about}.\n\n```\n{usage_line(path)}\n```\n\n"
    rows = _flags(command)
    return text.replace("..\n", ".\n") + (rows + "\n" if rows else "")


def _flags(command: Command) -> str:
    rows = [f for f in command.flags if not f.hidden]
    if not rows:
        return ""
    return "| option | meaning |\n|---|---|\n" + "".join(f"| {_name(f)} | {_meaning(f)} |\n" for f in rows)


def _name(flag: Flag) -> str:
    short, long = flag_words(flag)
    return (f"`{short}`, `{long}`" if short else f"`{long}`").replace("|", "\\|")


def _meaning(flag: Flag) -> str:
    return flag_meaning(flag).replace("|", "\\|")


if __name__ == "__main__":
    print(markdown(), end="")

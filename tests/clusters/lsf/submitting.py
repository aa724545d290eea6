"""How the stand-in's bsub reads its arguments: as IBM's does, and as its relatives do, which take prefixes."""

from dataclasses import dataclass, field

_VALUES = "J q G n M W R o oo e eo P app g cwd Jd w b t sp c C D S F v p u m L i is a E Ep k T sla env"
_FLAGS = "rn r H B N x K I Ip Is"
IBM_VALUES, IBM_FLAGS = _VALUES.split(), _FLAGS.split()
# In the order in which they are tried; those that end with | have no value.
_IN_ORDER = "E T a w f k R m J L u is i o e Zs| n q b t sp s c v p W F D S C M O P Ip| Is| I| r| H| x| N| B| h| V| X K|"
RELATIVES = [(name.rstrip("|"), not name.endswith("|")) for name in _IN_ORDER.split()]


class Misread(Exception):
    """It gives up at its arguments; the text is what it says."""


@dataclass
class Request:
    options: dict[str, str] = field(default_factory=dict)
    command: str = ""


def read_ibm(words: list[str]) -> Request:
    request, at = Request(), 0
    while at < len(words) and words[at].startswith("-"):
        name = words[at][1:]
        if name in IBM_FLAGS:
            request.options[name] = ""
        elif name in IBM_VALUES:
            at += 1
            if at == len(words):
                raise Misread(
                    f"bsub: option requires an argument -- {name}\nUsage:  bsub [options] command [arguments]"
                )
            request.options[name] = words[at]
        else:
            raise Misread(f"bsub: illegal option -- {name}\nUsage:  bsub [options] command [arguments]")
        at += 1
    request.command = command(words[at:])
    return request


def read_relative(words: list[str]) -> Request:
    """An option is the first in the list that it is, or begins with."""
    request, at = Request(), 0
    while at < len(words) and words[at].startswith("-"):
        word = words[at][1:]
        for name, valued in RELATIVES:
            if word == name:
                if valued:
                    at += 1
                    if at == len(words):
                        raise Misread(f"bsub: option requires an argument -- {name}\nUsage: bsub [-h] [-V] ...")
                    request.options[name] = words[at]
                else:
                    request.options[name] = ""
                break
            if word.startswith(name):
                if not valued:
                    raise Misread(f"bsub: option cannot have an argument -- {name}\nUsage: bsub [-h] [-V] ...")
                request.options[name] = word[len(name) :]
                break
        else:
            raise Misread(f"bsub: illegal option -- {word}\nUsage: bsub [-h] [-V] ...")
        at += 1
    for name, label in (("c", "CPULIMIT"), ("W", "RUNLIMIT"), ("M", "MEMLIMIT")):
        if not request.options.get(name, "1").isdecimal():
            raise Misread(f"{request.options[name]}: Bad {label} specification. Job not submitted.")
    request.command = command(words[at:])
    return request


def command(words: list[str]) -> str:
    """Make the one text that a shell on the node reads: the first word as it is, the others quoted somehow."""
    quoted = words[:1]
    for word in words[1:]:
        if " " in word:
            quoted.append(f"'{word}'" if '"' in word or "$" in word else f'"{word}"')
        else:
            quoted.append("".join("\\" + c if c in "\\\"'()" else c for c in word))
    return " ".join(quoted)

"""The command `caf`: how every command ends."""

import io
import os
import sys

from caf.cli.commands import GROUPS, application, split
from caf.cli.text import harmless
from caf.domain.errors import CafError, ConfigError

DONE, ATTENTION, WRONG = 0, 1, 2
INTERRUPTED = 130


def main() -> None:
    """Run one command and end the process with its exit status."""
    _take_numbers_of_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_status())


def _take_numbers_of_streams() -> None:
    """Have standard streams that were closed lead nowhere: children would write to a file of such a number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def _status() -> int:
    try:
        try:
            if shell := os.environ.get("_CAF_COMPLETE"):
                from caf.cli.completion import answer  # a shell asks, not a person

                answer(shell, sys.argv[1:])
            elif unknown := _unknown(sys.argv[1:]):
                print(f"Error: {unknown}", file=sys.stderr)
                return WRONG
            else:
                application(sys.argv[1:])(prog_name="caf")
        finally:
            if sys.stdout is not None:  # closed by `>&-`
                sys.stdout.flush()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else (ATTENTION if end.code else DONE)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the answer has seen enough; the interpreter must not complain when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ATTENTION
    except CafError as error:
        return _tell(error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        print(f"caf: {harmless(where)}{error.strerror or error}", file=sys.stderr)
        return ATTENTION
    except Exception as error:
        return _bug(error)
    return DONE


def _unknown(words: list[str]) -> str | None:
    name, rest = split(words)
    if name and name not in GROUPS:
        return None
    if not rest or rest[0].startswith("-"):
        return None
    from caf.cli.suggest import no_command  # only for this

    return no_command(words)


def _tell(error: CafError) -> int:
    lines = [harmless(line) for line in str(error).split("\n")]
    if isinstance(error, ConfigError):
        print("\n".join(lines), file=sys.stderr)
        return WRONG
    print("caf: " + "\n     ".join(lines), file=sys.stderr)
    return ATTENTION


def _bug(error: Exception) -> int:
    if os.environ.get("CAF_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    what = harmless(" ".join(str(error).split()))
    print(
        f"caf: this is a bug in caf: {type(error).__name__}: {what}; "
        "CAF_DEBUG=1 before the same command prints the details for a report",
        file=sys.stderr,
    )
    return ATTENTION

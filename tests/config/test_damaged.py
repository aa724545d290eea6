"""Damaged versions of the shipped file: a Configuration or a ConfigError, never anything else."""

import random
import re
from pathlib import Path

import pytest

from caf.config import Configuration, load, parse
from caf.domain.errors import ConfigError

SHIPPED = Path(__file__).resolve().parents[2] / "listeners.toml"


def mutated(text: str, chance: random.Random) -> str:
    """Delete, repeat, move or alter lines or characters, at up to five places."""
    for _ in range(chance.randint(1, 5)):
        lines = text.split("\n")
        at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        place = chance.randrange(len(text))
        match chance.randrange(7):
            case 0:
                del lines[at]
                text = "\n".join(lines)
            case 1:
                text = "\n".join([*lines[:at], lines[other], *lines[at:]])
            case 2:
                lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
                text = "\n".join(lines)
            case 3:
                text = text[:place] + text[place + 1 :]
            case 4:
                text = text[:place] + chance.choice("[]{}\"'=.,#\n\\ x1-\0é\r") + text[place:]
            case 5:
                lines[at] = re.sub(
                    r"= .*", chance.choice(["= 1", '= "x"', "= []", "= {}", "= true", "= -1"]), lines[at]
                )
                text = "\n".join(lines)
            case _:
                lines[at] = re.sub("^# ", "", lines[at])
                text = "\n".join(lines)
    return text


@pytest.mark.parametrize("seed", range(0, 1000, 100))
def test_a_damaged_file_gives_a_configuration_or_lines_of_errors(seed: int) -> None:
    """A thousand damaged versions of the shipped file: never anything else, and each line in its form."""
    shipped = SHIPPED.read_text()
    refused = 0
    for number in range(seed, seed + 100):
        text = mutated(shipped, random.Random(number))
        try:
            configuration = parse(text, SHIPPED)
        except ConfigError as error:
            refused += 1
            for line in str(error).split("\n"):
                found = re.fullmatch(r"listeners\.toml:(\d+): \S.*", line)
                assert found, (number, line)
                assert 1 <= int(found[1]) <= text.count("\n") + 1, (number, line)
        else:
            assert isinstance(configuration, Configuration)
            configuration.unheeded()
    assert refused > 10


def told(path: Path) -> str | None:
    """Give what is said of a file, None if it is good."""
    try:
        load(path)
    except ConfigError as error:
        return str(error)
    return None


def test_bytes_thrown_into_the_file_are_told_of_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "listeners.toml"
    shipped = SHIPPED.read_bytes()
    chance = random.Random(7)
    answers = []
    for _ in range(50):
        at = chance.randrange(len(shipped))
        path.write_bytes(shipped[:at] + chance.randbytes(3) + shipped[at:])
        answers.append(told(path))
    wrong = [answer for answer in answers if answer]
    assert len(wrong) > 10
    assert all(re.match(r"listeners\.toml:\d+: \S", answer) for answer in wrong)

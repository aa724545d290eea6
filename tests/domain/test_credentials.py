"""What MIT Kerberos 1.20 said, recorded, and what is made of it."""

import pytest

from caf.domain import credentials as words
from caf.domain.credentials import Trouble, expiry, trouble

SAID = {
    "kinit: Cannot contact any KDC for realm 'CAF.TEST' while getting initial credentials": words.AWAY,
    "kinit: Clock skew too great while getting initial credentials": words.CLOCK,
    "kinit: Key table file '/etc/caf/caf.keytab' not found while getting initial credentials": words.KEYTAB,
    "kinit: Permission denied while getting initial credentials": words.RIGHTS,
    "kinit: Unsupported key table format version number while getting initial credentials": words.BROKEN,
    "kinit: Keytab contains no suitable keys for other@CAF.TEST while getting initial credentials": words.PRINCIPAL,
    "kinit: Client 'x@CAF.TEST' not found in Kerberos database while getting initial credentials": words.UNKNOWN,
    "kinit: Malformed representation of principal when parsing name a@b@c": words.UNKNOWN,
    "kinit: Password incorrect while getting initial credentials": words.KEY,
    "kinit: Preauthentication failed while getting initial credentials": words.KEY,
    "kinit: Client's entry in database has expired while getting initial credentials": words.ACCOUNT,
    "kinit: Password has expired while getting initial credentials": words.ACCOUNT,
    "kinit: Client's credentials have been revoked while getting initial credentials": words.ACCOUNT,
    'kinit: Cannot find KDC for realm "CAF.TEST" while getting initial credentials': words.REALM,
    "kinit: Configuration file does not specify default realm when parsing name calib": words.REALM,
    "kinit: Ticket expired while renewing credentials": words.RENEWABLE,
    "kinit: No credentials cache found (filename: /tmp/krb5cc_0) while renewing credentials": words.RENEWABLE,
    "kinit: KDC can't fulfill requested option while renewing credentials": words.RENEWABLE,
    "Password for calib@CAF.TEST: \nkinit: Cannot read password while getting initial credentials": words.PASSWORD,
    "aklog: a pioctl failed while obtaining tokens for cell cern.ch": words.OTHER,
    "": words.OTHER,
}


@pytest.mark.parametrize("said", SAID)
def test_failures_are_told_apart_by_their_words(said: str) -> None:
    assert trouble(1, said) is SAID[said]


def test_a_command_that_was_killed_or_is_not_there_is_told_by_its_status() -> None:
    assert trouble(None, "Cannot contact any KDC") is words.HUNG
    assert trouble(127, "kinit") is words.MISSING
    assert trouble(126, "") is words.MISSING


TROUBLES = [value for value in vars(words).values() if isinstance(value, Trouble)]


def test_only_what_may_pass_by_itself_is_tried_often() -> None:
    passing = {words.AWAY, words.REALM, words.OTHER, words.HUNG, words.AFTER}
    assert {one for one in TROUBLES if not one.lasting} == passing
    assert len(TROUBLES) >= 15


@pytest.mark.parametrize("one", TROUBLES, ids=lambda one: one.what)
def test_every_failure_says_what_to_do_on_one_harmless_line(one: Trouble) -> None:
    told = one.told("kinit: it\x1b[31m\nsaid\tso" + "!" * 1000)
    assert told.startswith(f"{one.what} (kinit: it [31m said so!!")
    assert told.endswith(f"...): {one.advice}")
    assert len(one.advice) > 10
    assert len(told) < 500
    assert one.told() == f"{one.what}: {one.advice}"


LISTED = """Ticket cache: FILE:/tmp/krb5cc
Default principal: calib@CAF.TEST

Valid starting     Expires            Service principal
11/23/26 02:15:12  11/23/26 02:15:32  krbtgt/CAF.TEST@CAF.TEST
\trenew until 11/23/26 02:15:52
"""
END = 1795400132.0  # 2026-11-23 02:15:32 UTC


def test_the_end_of_a_ticket_is_read() -> None:
    assert expiry(LISTED) == END
    assert expiry(LISTED.replace("/26 ", "/2026 ")) == END
    iso = LISTED.replace("11/23/26 02:15:12", "2026-11-23 02:15:12").replace("11/23/26 02:15:32", "2026-11-23 02:15:32")
    assert expiry(iso) == END


def test_of_several_tickets_that_of_the_own_realm_counts() -> None:
    """A service's ticket may end sooner: a new one is got by itself with the ticket-granting one."""
    more = (
        "11/23/26 02:15:14  11/23/26 02:15:20  afs/cern.ch@CAF.TEST\n"
        "11/23/26 02:15:14  11/23/26 02:15:18  krbtgt/OTHER@CAF.TEST\n"
    )
    assert expiry(LISTED + more) == END
    assert expiry(more + LISTED) == END
    assert expiry(LISTED.replace("krbtgt/CAF.TEST@", "host/one@") + more) == END - 14


@pytest.mark.parametrize(
    "text",
    [
        "",
        "klist: No credentials cache found (filename: /tmp/none)",
        LISTED.replace("11/23/26", "23. Nov. 26"),
        "\0\n" * 9,
    ],
)
def test_what_cannot_be_read_is_unknown(text: str) -> None:
    assert expiry(text) is None

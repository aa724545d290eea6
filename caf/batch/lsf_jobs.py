"""bjobs, asked in the richest form that this site's understands: which that is, is found out once.

Its exit status tells nothing: 255 comes with good rows when one id is unknown, 0 with nothing at all in a hiccup. So
there is an answer where there are rows, or the words that there are none.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from caf.batch.clients import Clients
from caf.batch.lsf_answers import EMPTY, FORMS, WIDE, Form, Row, read_reasons, read_rows
from caf.batch.lsf_history import parse_history
from caf.batch.lsf_submit import AWAY, not_understood
from caf.batch.running import Said
from caf.domain.errors import BatchError
from caf.domain.following import Sighting

ALL_OF_CAF = ("-a", "-J", "caf-*")  # this user's, ended ones too; never by queue: an admin may move a job
TOKEN = re.compile(r"(?<!\S)caf-[A-Za-z0-9-]+(?!\S)")
CRASHED = frozenset({-11, 139})  # one of Volclava's does at fields that it does not know
AT_ONCE = 100  # ids in one argument list
REASONS_AGAIN = 15.0  # s before it is asked again why jobs are pending, where rows do not tell


class NotUnderstood(BatchError):
    """This bjobs does not know what was asked."""


class Bjobs:
    """Asks about jobs. `clock` is monotonic."""

    def __init__(self, clients: Clients, clock: Callable[[], float]) -> None:
        self._clients, self._clock = clients, clock
        self._at = 0  # the form that is asked first
        self._settled = False
        self._reasons: dict[str, str] = {}
        self._reasons_at = float("-inf")

    @property
    def form(self) -> Form:
        """Give the form that is in use; the richest, until another was found out to be."""
        return FORMS[self._at]

    async def of_caf(self) -> list[Row]:
        """Give this user's jobs that carry tokens. BatchError if there is no answer."""
        for number in range(self._at, len(FORMS)):
            form = FORMS[number]
            try:
                rows = await self._ask(form, ALL_OF_CAF, form.fields)
            except NotUnderstood:
                if form is WIDE:
                    raise
                continue
            if rows:
                self._at, self._settled = number, True
            return rows
        raise AssertionError("the last form is asked in any case")

    async def _ask(self, form: Form, selection: Sequence[str], fields: tuple[str, ...]) -> list[Row]:
        said = await self._clients.run(["bjobs", *selection, *form.options(fields)])
        rows = read_rows(form, fields, said.out, TOKEN)
        if rows:
            return rows
        if EMPTY.search(said.err) or (not form.json and EMPTY.search(said.out)):
            return []
        if rows is not None and form.json and AWAY.search(said.err) is None:
            # An object without records is also what comes where nobody answered: the words are in the other form.
            return await self._ask(WIDE, selection, ())
        self._check(said)
        raise self._clients.garbage("bjobs", said.out or said.err)

    def _check(self, said: Said) -> None:
        """Tell by what kind of error it is no answer; garbage is left to the caller."""
        if not_understood(said) or said.code in CRASHED:
            raise NotUnderstood(f"bjobs: {said.words()}")
        silent = not (said.out.strip() or said.err.strip())
        if silent or AWAY.search(said.err) or AWAY.search(said.out):
            raise BatchError(f"bjobs: {said.words()}")

    async def select(self, selection: Sequence[str], fields: tuple[str, ...]) -> list[Row]:
        """Give these fields of the jobs of a selection. NotUnderstood if bjobs cannot select so."""
        if not self._settled:
            await self.of_caf()
        form = self.form
        while True:
            try:
                return await self._ask(form, selection, fields)
            except NotUnderstood:
                if self._settled or form is WIDE:
                    raise
                form = WIDE  # it may be the form that it does not know

    async def ends(self, ids: Sequence[str]) -> Mapping[str, Sighting]:
        """Give how jobs ended of which the rows do not tell; by id, those that are known."""
        found: dict[str, Sighting] = {}
        for begin in range(0, len(ids), AT_ONCE):
            said = await self._clients.run(["bjobs", "-l", *ids[begin : begin + AT_ONCE]])
            for sightings in parse_history(said.out).values():
                found |= {str(one.batch_id): one for one in sightings}
        return found

    async def reasons(self) -> Mapping[str, str]:
        """Give why jobs are pending, by id, where rows do not tell; asked now and then."""
        now = self._clock()
        if now - self._reasons_at >= REASONS_AGAIN:
            said = await self._clients.run(["bjobs", "-p", *ALL_OF_CAF[1:]])
            self._reasons, self._reasons_at = read_reasons(said.out), now
        return self._reasons

"""What the store ought to hold, in plain Python: a second opinion, written from the design, not from the code."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from caf.domain.matching import Condition, Listener, Operator

SECOND = 10**9
SETTLE = 24 * 3600  # s

COLUMNS = ("run_type", "recorded", "clean_stop", "tier0_tag", "stored_events", "recorded_events", "start", "end")
MINIMA = (100, 10)  # of `Ramp`, in each of the two configurations


def listeners(configuration: int) -> list[Listener]:
    """Give what caf is configured with: two listeners that overlap, and one with a minimum; the second drops one."""
    scan = Condition("run_type", Operator.EQUAL, "scan")
    tag = Condition("tier0_tag", Operator.NOT_IN, ("bad", "worse"))
    found = [
        Listener("Scan", (scan, Condition("recorded", Operator.EQUAL, True), tag)),
        Listener("Ramp", (Condition("run_type", Operator.ONE_OF, ("ramp", "slow")),), MINIMA[configuration]),
        Listener("Broken", (scan, Condition("clean_stop", Operator.EQUAL, False))),
    ]
    return found[: 3 - configuration]


def _text(value: object, good: bool, *, settled: bool, null: str = "f", provisional: bool = False) -> str:
    if not settled and (value is None or provisional):
        return "u"
    return null if value is None else ("h" if good else "f")


@dataclass
class Run:
    """One run: what was read of it, merged, and where it stands."""

    first_seen: int
    values: dict[str, Any] = field(default_factory=dict)
    last_lb_end: int | None = None
    provisional_tag: bool = False
    judged_settled: bool = False
    last_change: int | None = None
    status: str = "OPEN"
    listener: str | None = None
    needs_validation: bool | None = None
    answers: str = ""
    configuration: int = 0
    jobs_due: bool = False
    former: int = 0
    too_few: bool = False  # its jobs went ahead before a person had to validate it

    def read(self, row: Mapping[str, Any]) -> bool:
        """Take over a reading; tells whether anything is new in it."""
        before = (dict(self.values), self.last_lb_end, self.provisional_tag)
        unless = (before[0], before[1], False) if self.judged_settled else before
        tag_is_sure = self.values.get("tier0_tag") is not None and not self.provisional_tag
        older = tag_is_sure and row["notes"] is not None
        for name in COLUMNS:
            if row[name] is not None and not (older and name == "tier0_tag"):
                self.values[name] = row[name]
        if not older and (row["tier0_tag"] is not None or self.values.get("tier0_tag") is None):
            self.provisional_tag = row["notes"] is not None
        if row["last_lb_end"] is not None:
            self.last_lb_end = max(row["last_lb_end"], self.last_lb_end or 0)
        return (self.values, self.last_lb_end, self.provisional_tag) not in (before, unless)

    def settled(self, now: int, replica: int) -> bool:
        """Tell whether a day has passed, on both clocks, since the last that is known of the run; all in s."""
        times = [self.values.get("start"), self.values.get("end"), self.last_lb_end]
        known = [time // SECOND for time in times if time is not None]
        known += [] if self.last_change is None else [self.last_change]
        return min(now, replica) > max(known or [self.first_seen]) + SETTLE

    def judge(self, configuration: int, now: int, replica: int) -> None:
        """Reach a verdict from the three answers of every condition."""
        settled = self.judged_settled = self.settled(now, replica)
        v = self.values.get
        kind, tag = v("run_type"), v("tier0_tag")
        events = v("recorded_events") if v("recorded_events") is not None and not v("stored_events") else None
        events = v("stored_events") if events is None else events
        scan = _text(kind, kind == "scan", settled=settled)
        good_tag = tag not in ("bad", "worse")
        ramp = _text(kind, kind in ("ramp", "slow"), settled=settled)
        enough = _text(events, (events or 0) >= MINIMA[configuration], settled=settled)
        groups = {
            "Scan": scan
            + _text(v("recorded"), v("recorded") == 1, settled=settled)
            + _text(tag, good_tag, settled=settled, null="h", provisional=self.provisional_tag),
            "Ramp": ramp,
            "Broken": scan + _text(v("clean_stop"), v("clean_stop") == 0, settled=settled),
        }
        if configuration == 1:
            del groups["Broken"]
        self.answers = " ".join(text + enough if name == "Ramp" else text for name, text in groups.items())
        self.configuration = configuration
        alive = {name: text + (enough if name == "Ramp" else "") for name, text in groups.items() if "f" not in text}
        takers = list(alive)
        self.listener = self.needs_validation = None
        if any("u" in text for text in alive.values()):
            self.status = "OPEN"
        elif len(takers) == 1:
            self.status, self.listener = "ACCEPTED", takers[0]
            self.needs_validation = takers[0] == "Ramp" and enough == "f"
        else:
            self.status = "CONFLICT" if takers else "UNCLAIMED"


@dataclass
class Job:
    """One job: its state and attempt, and the token of each attempt that was used."""

    id: int
    listener: str
    state: str
    attempt: int = 1
    next_state: str | None = None
    tokens: dict[int, str] = field(default_factory=dict)
    doubtful: bool = False
    lost: bool = False
    acknowledged: bool = False
    mark: str | None = None

    def become(self, target: str, next_state: str | None = None) -> None:
        """Change its state, or only what is known of it; what was said of another attempt or result is forgotten."""
        self.attempt = attempt_after(self.state, target, self.attempt)
        self.doubtful = False
        self.lost = self.lost and target in FOLLOWED
        self.acknowledged = self.acknowledged and not {self.state, target} & FINAL
        self.mark = None if self.state in FINAL else self.mark
        self.state, self.next_state = target, next_state

    def answers(self) -> set[str]:
        """Give what a person may say of it that changes its state not at all, or only with proof."""
        known = {"adopt", "lost"} if self.state in FOLLOWED and self.doubtful else set()
        known |= {"adopt"} if self.state in FOLLOWED and self.lost else set()
        known |= {"adopt as"} if self.state in FOLLOWED else set()
        known |= {"mark"} if self.state == "DONE" else set()
        return known | ({"ack"} if self.state == "FAILED" and not self.acknowledged else set())


IDLE = {"WAITING", "NEW", "STAGING", "PREPARED"}
FINAL = {"DONE", "FAILED", "REJECTED", "CANCELLED"}
USED = {"SUBMITTING", "PENDING", "RUNNING", "FINISHED", "CANCELLING"}
FOLLOWED = USED - {"FINISHED"}

DUTY = {
    "NEW": "PREPARED STAGING FAILED",
    "STAGING": "PREPARED FAILED",
    "PREPARED": "NEW SUBMITTING",
    "SUBMITTING": "PENDING RUNNING FINISHED PREPARED NEW FAILED",
    "PENDING": "RUNNING FINISHED NEW",
    "RUNNING": "FINISHED PENDING NEW",
    "FINISHED": "DONE FAILED NEW",
    "CANCELLING": "NEW WAITING CANCELLED",
}


def said(state: str, word: str) -> str | None:
    """Give where a person's word takes a job at once; None if it is refused."""
    goal = {"start": "NEW", "reset": "NEW", "hold": "WAITING", "kill": "CANCELLED", "reject": "REJECTED"}[word]
    if state == "WAITING":
        return goal if word in {"start", "reject", "kill"} else None
    if word in {"start", "reject"} or state == goal == "CANCELLED":
        return None
    return "CANCELLING" if state in USED else goal


WORDS = ("start", "reject", "reset", "hold", "kill")
STATES = (*sorted(IDLE), *sorted(USED), *sorted(FINAL))
LEGAL = {(source, target) for source, targets in DUTY.items() for target in targets.split()}
REMARKED = {(state, state) for state in FOLLOWED | {"DONE", "FAILED"}}  # a person said something, and it stayed
LEGAL |= {(state, target) for state in STATES for word in WORDS if (target := said(state, word)) is not None}


def attempt_after(source: str, target: str, attempt: int) -> int:
    """Give the attempt after a change: it grows on leaving a state from SUBMITTING on to begin again."""
    return attempt + (source not in IDLE and target in {"NEW", "WAITING", "PREPARED"})

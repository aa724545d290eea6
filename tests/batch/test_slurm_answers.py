"""What Slurm's clients say is understood: as recorded from 22.05.8 and 24.11.5, and as its manual has it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf.batch.interface import BatchRefused, Submission
from caf.batch.slurm_answers import US, Row, hopeless, parse_accounts, parse_queue, sighting
from caf.batch.slurm_submit import arguments, batch_id_of, check_options, refusal, takes_no_more
from caf.domain.following import Sight
from caf.domain.jobs import Result

TOKEN = "caf-0123abcd-7-1-89abcdef"
PLAIN = Submission(TOKEN, "/w/490001_Fit/1/caf.sh")


def seen(state: str, reason: str = "None") -> tuple[Sight, str | None, Result | None]:
    one = sighting(Row("7", TOKEN, state, TOKEN, reason))
    return one.sight, one.reason, one.result


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        ("PENDING", "None", (Sight.PENDING, "pending", None)),
        ("PENDING", "Priority", (Sight.PENDING, "Priority", None)),
        ("PENDING", "BeginTime", (Sight.PENDING, "BeginTime", None)),
        ("CONFIGURING", "None", (Sight.PENDING, "CONFIGURING", None)),
        ("REQUEUE_HOLD", "launch failed", (Sight.PENDING, "REQUEUE_HOLD, launch failed", None)),
        ("RUNNING", "None", (Sight.RUNNING, None, None)),
        ("SUSPENDED", "None", (Sight.RUNNING, "SUSPENDED", None)),
        ("COMPLETING", "None", (Sight.RUNNING, "COMPLETING", None)),
        ("COMPLETED", "None", (Sight.ENDED, "Slurm says COMPLETED", None)),
        ("FAILED", "NonZeroExitCode", (Sight.ENDED, "Slurm says FAILED", None)),
        ("FAILED", "JobLaunchFailure", (Sight.ENDED, "Slurm says FAILED (JobLaunchFailure)", None)),
        (
            "FAILED",
            "RaisedSignal:11(Segmentation fault)",
            (Sight.ENDED, "Slurm says FAILED (RaisedSignal:11(Segmentation fault))", None),
        ),
        ("TIMEOUT", "TimeLimit", (Sight.ENDED, "Slurm says TIMEOUT", Result.WALLTIME)),
        ("OUT_OF_MEMORY", "OutOfMemory", (Sight.ENDED, "Slurm says OUT_OF_MEMORY (OutOfMemory)", Result.MEMORY)),
        ("NODE_FAIL", "NodeDown", (Sight.ENDED, "Slurm says NODE_FAIL (NodeDown)", Result.NODE)),
        ("PREEMPTED", "None", (Sight.ENDED, "Slurm says PREEMPTED", Result.NODE)),
        ("BOOT_FAIL", "None", (Sight.ENDED, "Slurm says BOOT_FAIL", Result.NODE)),
        ("CANCELLED", "None", (Sight.ENDED, "Slurm says CANCELLED", None)),
        ("REVOKED", "None", (Sight.UNKNOWN, "Slurm says REVOKED, which caf does not know", None)),
        ("", "", (Sight.UNKNOWN, "Slurm says , which caf does not know", None)),
    ],
)
def test_states(state: str, reason: str, expected: object) -> None:
    assert seen(state, reason) == expected


@given(st.text(max_size=20))
def test_a_state_that_nobody_knows_ends_nothing(state: str) -> None:
    known = {"COMPLETED", "FAILED", "CANCELLED", "DEADLINE", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED"}
    if state not in known | {"BOOT_FAIL", "LAUNCH_FAILED", "RECONFIG_FAIL"}:
        assert seen(state)[0] is not Sight.ENDED


@pytest.mark.parametrize(
    "reason",
    [
        "PartitionConfig",
        "DependencyNeverSatisfied",
        "InvalidAccount",
        "InvalidQOS",
        "BadConstraints",
        "JobHeldUser",
        "PartitionDown",
        "QOSMaxWallDurationPerJobLimit",
        "AssocMaxCpuPerJobLimit",
        "QOSMaxMemoryPerJob",
    ],
)
def test_reasons_that_do_not_pass_by_themselves(reason: str) -> None:
    one = sighting(Row("7", TOKEN, "PENDING", TOKEN, reason))
    assert one.stuck
    assert (one.reason or "").startswith(f"{reason}: ")


@pytest.mark.parametrize(
    "reason",
    [
        "Resources",
        "Priority",
        "Dependency",
        "QOSMaxJobsPerUserLimit",
        "AssocGrpCpuLimit",
        "ReqNodeNotAvail, UnavailableNodes:n1",
        "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
        "",
    ],
)
def test_reasons_that_may_pass(reason: str) -> None:
    assert hopeless(reason) is None


def test_a_line_that_is_no_row_is_kept_and_the_others_are_read() -> None:
    """A reason of 24.11 holds blanks and commas; a name may hold a bar, and half of one stand on a line of its own."""
    good = US.join(("7", TOKEN, "PENDING", TOKEN, "ReqNodeNotAvail, UnavailableNodes:n1"))
    text = f"{good}\nslurm_load_jobs error: x\n8{US}a|b\n9{US}c{US}RUNNING{US}d{US}e{US}f\n\n"
    rows, unreadable = parse_queue(text)
    assert rows == [Row("7", TOKEN, "PENDING", TOKEN, "ReqNodeNotAvail, UnavailableNodes:n1")]
    assert unreadable == ["slurm_load_jobs error: x", f"8{US}a|b", f"9{US}c{US}RUNNING{US}d{US}e{US}f"]


def test_what_the_accounting_says() -> None:
    rows = [
        ("1", "a", "COMPLETED", "0:0"),
        ("2", "b", "FAILED", "3:0"),
        ("3", "c", "CANCELLED by 0", "0:0"),
        ("4", "d", "FAILED", "0:53"),
        ("5", "e", "OUT_OF_MEMORY", "0:125"),
        ("6", "f", "RUNNING", "0:0"),
        ("7", "f", "TIMEOUT", "0:0"),
        ("8", "g", "FAILED", "0:11"),
    ]
    found, unreadable = parse_accounts("\n".join(US.join(row) for row in rows) + "\nnonsense\n")
    assert unreadable == ["nonsense"]
    told = {name: [(one.sight, one.exit_code, one.result) for one in sightings] for name, sightings in found.items()}
    assert told == {
        "a": [(Sight.ENDED, 0, None)],
        "b": [(Sight.ENDED, 3, None)],
        "c": [(Sight.ENDED, None, None)],
        "d": [(Sight.ENDED, None, None)],
        "e": [(Sight.ENDED, None, Result.MEMORY)],
        "f": [(Sight.UNKNOWN, None, None), (Sight.ENDED, None, Result.WALLTIME)],
        "g": [(Sight.ENDED, None, None)],
    }
    assert found["c"][0].reason == "the accounting says CANCELLED by 0"
    assert "does the node see `work`?" in (found["d"][0].reason or "")


@pytest.mark.parametrize(
    ("out", "batch_id"),
    [
        ("123\n", "123"),
        ("123;caf\n", "123"),
        ("Welcome to the cluster!\n 123 \n", "123"),
        ("", None),
        ("0\n", None),
        ("Submitted batch job 123\n", None),
        ("123\n124\n", None),
        ("123_4\n", None),
    ],
)
def test_the_id_of_an_accepted_job(out: str, batch_id: str | None) -> None:
    assert batch_id_of(out) == batch_id


FAILED = "sbatch: error: Batch job submission failed: "


@pytest.mark.parametrize(
    ("err", "word"),
    [
        (f"{FAILED}Invalid partition name specified", "`queue`"),
        (f"{FAILED}Invalid account or account/partition combination specified", "`group`"),
        (f"sbatch: error: lua: no account given\n{FAILED}Unspecified error", "administrators"),
        (f"{FAILED}Requested time limit is invalid (missing or exceeds some limit)", "`walltime`"),
        ("sbatch: unrecognized option '--foo'\nTry \"sbatch --help\" for more information", "`options`"),
        ("sbatch: error: Invalid --mem specification", "`options`"),
        ("sbatch: error: Unable to open file /w/caf.sh", "`options`"),
        ("allocation failure: Requested node configuration is not available", "`cpus`"),
    ],
)
def test_a_sure_no(err: str, word: str) -> None:
    assert word in (refusal(err) or "")


@pytest.mark.parametrize(
    ("limit", "passes", "word"),
    [
        ("AssocMaxSubmitJobLimit", True, "`slots`"),
        ("AssocGrpSubmitJobsLimit", True, "`slots`"),
        ("QOSMaxSubmitJobPerUserLimit", True, "`slots`"),
        ("MaxSubmitJobsPerAccount", True, "`slots`"),
        ("QOSGrpSubmitJobsLimit", True, "`slots`"),
        ("QOSMaxWallDurationPerJobLimit", False, "`walltime`"),
        ("QOSMaxCpuPerJobLimit", False, "`cpus`"),
        ("QOSMaxCpuPerUserLimit", False, "`cpus`"),
        ("QOSGrpCpuLimit", False, "`cpus`"),
    ],
)
def test_a_limit_on_how_many_passes_and_one_on_how_much_does_not(limit: str, passes: bool, word: str) -> None:
    """As 22.05 says it, with DenyOnLimit: those named for a user or a group are about the one job too."""
    policy = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
    err = f"sbatch: error: {limit}\n{FAILED}{policy}\n"
    assert takes_no_more(err) is passes
    assert word in (refusal(err) or "")
    assert not takes_no_more(f"{FAILED}{policy}")  # an older one that does not name the limit
    assert refusal(f"{FAILED}{policy}") is not None


def test_use_that_is_forgotten_with_time_is_no_lasting_refusal() -> None:
    err = f"{FAILED}Requested account has breached requested QOS usage threshold"
    assert takes_no_more(err)
    assert refusal(err) is not None


@pytest.mark.parametrize(
    "words",
    [
        f"{FAILED}Socket timed out on send/recv operation",
        f"{FAILED}Unable to contact slurm controller (connect failure)",
        f"{FAILED}Zero Bytes were transmitted or received",
        f"{FAILED}Invalid authentication credential",
        f"{FAILED}Resource temporarily unavailable",
        "sbatch: fatal: Could not establish a configuration source",
        "Segmentation fault",
        "",
    ],
)
def test_all_else_may_have_been_accepted(words: str) -> None:
    assert refusal(words) is None


def test_options_stand_where_they_win_over_what_was_asked_for_and_over_nothing_else() -> None:
    command = arguments(Submission(TOKEN, "/w/1/caf.sh", "short", "g", 2, 2_000_000_000, 90.0, ["-C", "gold"]))
    assert command == [
        *("sbatch", "--ntasks=1", "--cpus-per-task=2", "--partition=short", "--account=g", "--mem=1908M", "--time=2"),
        *("-C", "gold", "--parsable", f"--job-name={TOKEN}", f"--comment={TOKEN}", "--no-requeue", "--chdir=/w/1"),
        *("--output=/w/1/log/batch.out", "--error=/w/1/log/batch.out", "/w/1/caf.sh"),
    ]


def test_what_is_not_asked_for_is_the_partitions_to_say() -> None:
    assert arguments(PLAIN)[:4] == ["sbatch", "--ntasks=1", "--cpus-per-task=1", "--parsable"]


@pytest.mark.parametrize(
    ("area", "written"),
    [("/w/%j%%", "/w/%%j%%%%"), ("/w/a\\b", "/w/a\\\\b"), ("/w/%j\\b", "/w/%j\\\\b"), ("/w/a b'", "/w/a b'")],
)
def test_slurm_replaces_nothing_in_the_name_of_an_area(area: str, written: str) -> None:
    assert f"--output={written}/log/batch.out" in arguments(Submission(TOKEN, f"{area}/caf.sh"))


@pytest.mark.parametrize(
    "options",
    [
        ["--array=1-3"],
        ["-a", "1-3"],
        ["-a1-3"],
        ["--arr=1"],
        ["--clusters=x"],
        ["-M", "x"],
        ["--test-only"],
        ["--wrap=x"],
        ["--wait"],
        ["-W"],
        ["--help"],
        ["--"],
        ["-"],
        ["word"],
        ["--exclusive", "word"],
        ["--constraint=gold", "word"],
        ["-Cgold", "word"],
        ["-C", "gold", "word"],
        [""],
    ],
)
def test_options_that_would_do_something_else_are_refused(options: list[str]) -> None:
    with pytest.raises(BatchRefused, match="correct `options`"):
        check_options(options)


def test_options_of_every_kind_are_passed_on() -> None:
    options = [
        "--exclusive",
        "-C",
        "gold",
        "--mem-per-cpu=4G",
        "--constraint",
        "gold",
        "-H",
        "--wait-all-nodes=1",
        "-v",
    ]
    check_options(options)
    (begin,) = [place for place, word in enumerate(arguments(PLAIN)) if word == "--parsable"]
    whole = arguments(Submission(TOKEN, PLAIN.script, options=options))
    assert whole[begin : begin + len(options)] == options

"""How attempts are handed to bsub, and what it says to that: words that were seen of LSF's relatives, and IBM's."""

from typing import Any

import pytest

from caf.batch.interface import BatchRefused, Submission
from caf.batch.lsf_submit import PLAIN, Dialect, arguments, batch_id_of, not_understood, refusal, takes_no_more, unit_of
from caf.batch.running import Said

ONE = "caf-0123abcd-1-1-00000001"


class TestTheWords:
    """Of bsub."""

    @pytest.mark.parametrize(
        "out",
        [
            "Job <101> is submitted to queue <8nm>.\n",
            "Job <101> is submitted to default queue <normal>.\n",
            "Job is submitted to <default> project.\nJob <101> is submitted to queue <8nm>.\n",
            "Job <101> is submitted to queue <8nm>.\nJob will be scheduled after Sun Nov 22 12:00:00 2026\n",
            "Memory reservation is (MB): 2048\nJob <101> is submitted to queue <8nm>.",
        ],
    )
    def test_an_id_is_found_among_whatever_a_site_adds(self, out: str) -> None:
        assert batch_id_of(Said(0, out, "")) == "101"
        assert batch_id_of(Said(255, out, "some warning")) == "101"

    def test_a_limit_on_how_many_passes(self) -> None:
        assert takes_no_more(Said(255, "", "User <calib>: Pending job threshold reached. Job not submitted."))
        assert not takes_no_more(Said(255, "", "RUNLIMIT: Cannot exceed queue's hard limit(s). Job not submitted."))

    def test_two_ids_and_none_are_no_id(self) -> None:
        line = "Job <{}> is submitted to queue <8nm>.\n"
        assert batch_id_of(Said(0, line.format(1) + line.format(2), "")) is None
        assert batch_id_of(Said(0, "Job <101> is not found", "")) is None

    @pytest.mark.parametrize(
        ("err", "way_out"),
        [
            ("nosuch: No such queue. Job not submitted.", "correct `queue`"),
            ("8nm: Queue has been closed. Job not submitted.", "an administrator has closed it"),
            ("User cannot use the queue. Job not submitted.", "correct `queue`"),
            ("Too many processors requested. Job not submitted.", "correct `cpus`"),
            ("RUNLIMIT: Cannot exceed queue's hard limit(s). Job not submitted.", "`walltime`"),
            ("Bad resource requirement syntax. Job not submitted.", "correct `options`"),
            ("u_NOBODY: Bad user group name. Job not submitted.", "correct `group`"),
            ("Request aborted by esub. Job not submitted.", "the site's own"),
            ("User <calib>: Pending job threshold reached. Job not submitted.", "fewer `slots`"),
            ("Something that nobody has heard of. Job not submitted.", "ask the site's administrators"),
            ("bsub: illegal option -- y\nUsage: bsub [-h] [-V] ...", "correct `options`"),
        ],
    )
    def test_a_refusal_is_sure_and_has_a_way_out(self, err: str, way_out: str) -> None:
        assert way_out in (refusal(Said(255, "", err)) or "")

    @pytest.mark.parametrize(
        "err",
        [
            "",
            "LSF is down. Please wait ...",
            "Cannot connect to LSF. Please wait ...",
            "batch system daemon not responding ... still trying",
            "Contacting batch daemon: Communication timeout. Job not submitted.",
            "Failed in an LSF library call: LIM is down; try later. Job not submitted.",
            "lsb_init: Connection refused by server. Job not submitted.",
            "Segmentation fault",
        ],
    )
    def test_that_lsf_does_not_answer_is_no_refusal(self, err: str) -> None:
        assert refusal(Said(255, "", err)) is None
        assert refusal(Said(255, err, "")) is None

    @pytest.mark.parametrize(
        "err",
        [
            "bsub: option cannot have an argument -- r\nUsage: bsub [-h] [-V] [-H] [-x] [-r] [-N] [-B]",
            "bsub: illegal option -- G",
            "bjobs: invalid option -- 'o'\nUsage: bjobs [-h] [-V] [-w |-l] [-a] [-d] [-p] [-s] [-r]",
            "<EXIT_CODE> in the format string is not a valid field name.",
        ],
    )
    def test_what_a_relative_does_not_know_is_told_apart(self, err: str) -> None:
        assert not_understood(Said(255, "", err))

    def test_words_of_the_system_are_not_taken_for_that(self) -> None:
        for err in ("nosuch: No such queue. Job not submitted.", "LSF is down. Please wait ...", "No job found"):
            assert not not_understood(Said(255, "", err))


AREA = "/w/490001_Fit/1"


IBM = Dialect()


def asked(dialect: Dialect = IBM, script: str = f"{AREA}/caf.sh", **changes: Any) -> list[str]:
    return arguments(Submission(ONE, script, **changes), dialect)


class TestArguments:
    """Of bsub."""

    def test_a_plain_job(self) -> None:
        assert asked() == ["bsub", "-rn", "-J", ONE, "-o", f"{AREA}/log/batch.out", "/bin/sh", f"{AREA}/caf.sh"]

    def test_sizes_are_in_the_sites_unit_and_times_in_minutes(self) -> None:
        wants: dict[str, Any] = {"memory": 2_000_000_000, "walltime": 8 * 3600.0, "queue": "8nm", "group": "g"}
        for unit, limit, reserved in ((None, "1953125", "1908"), ("MB", "1908", "1908"), ("GB", "2", "2")):
            line = " ".join(asked(Dialect(unit=unit), **wants))
            assert f"-q 8nm -G g -M {limit} -W 480 -R rusage[mem={reserved}] -o" in line
        assert asked(walltime=1.0)[4:6] == ["-W", "1"]
        assert asked(cpus=4)[4:8] == ["-n", "4", "-R", "span[hosts=1]"]

    def test_what_options_ask_for_is_not_asked_twice(self) -> None:
        """A relative takes one -R."""
        line = asked(cpus=4, memory=10**9, walltime=60.0, options=["-R", "select[x]", "-M500", "-W", "2:00"])
        assert line == [
            *("bsub", "-rn", "-J", ONE, "-n", "4", "-R", "select[x]", "-M500", "-W", "2:00"),
            *("-o", f"{AREA}/log/batch.out", "/bin/sh", f"{AREA}/caf.sh"),
        ]

    def test_a_relative_is_asked_nothing_that_it_reads_in_another_way(self) -> None:
        line = asked(PLAIN, queue="8nm", group="g", cpus=2, memory=10**9, walltime=60.0)
        assert {word for word in line if word.startswith("-")} == {"-J", "-q", "-n", "-M", "-W", "-R", "-o"}

    @pytest.mark.parametrize("name", ["a b", "it's", 'say "x"', "$HOME", "semi;colon", "new\nline"])
    def test_a_strange_path_is_one_word_for_the_nodes_shell(self, name: str) -> None:
        line = asked(script=f"/w/{name}/1/caf.sh")
        assert line[-2:-1] == ["/dev/null"]
        assert line[-1].startswith("/bin/sh '/w/")

    @pytest.mark.parametrize(
        "options",
        [
            *(["-J", "x"], ["-Jx"], ["-Jd", "x"], ["-K"], ["-I"], ["-Is"], ["-o", "f"], ["-oo", "f"], ["-e", "f"]),
            *(["-i", "f"], ["-r"], ["-Zs"], ["-pack", "f"], ["-json", "f"], ["-V"], ["-h"], ["word"], ["-x", "y"]),
            *(["-P", "x", "word"], ["--"], ["-P"]),
        ],
    )
    def test_what_would_do_something_else_is_refused(self, options: list[str]) -> None:
        with pytest.raises(BatchRefused, match="correct `options`"):
            asked(options=options)

    def test_what_does_not_is_passed_on(self) -> None:
        options = [
            "-P",
            "calib",
            "-app",
            "x",
            "-sp",
            "7",
            "-x",
            "-env",
            "all",
            "-rn",
            "-H",
            "-gpu",
            "num=1",
            "-w",
            "done(1)",
        ]
        line = asked(options=options)
        assert line[4 : 4 + len(options)] == options

    @pytest.mark.parametrize(
        ("conf", "unit"),
        [
            ("", None),
            ("LSF_UNIT_FOR_LIMITS=GB\n", "GB"),
            ("# LSF_UNIT_FOR_LIMITS=GB\nLSF_UNIT_FOR_LIMITS=KB\n  LSF_UNIT_FOR_LIMITS = mb  \n", "MB"),
            ('LSF_UNIT_FOR_LIMITS="T"\n', "TB"),
            ("LSF_UNIT_FOR_LIMITS=furlong\n", None),
        ],
    )
    def test_the_unit_stands_in_lsf_conf(self, conf: str, unit: str | None) -> None:
        assert unit_of(conf) == unit

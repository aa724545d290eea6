"""What providers say: which of it counts, and that nonsense is never taken for a number.

The answers in tests/data/quota are written after manual pages and what is known of these clients. None was taken from a
running one, for none could be had.
"""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caf.domain.accounts import Account, Counts, Use
from caf.domain.errors import QuotaError
from caf.quota import afs, eos, filesystem, linux, tree

ANSWERS = Path(__file__).parents[1] / "data" / "quota"
ME = eos.Who(("1234", "l1ccalib"), ("1307", "zp"))
KIB = 1024


def said(name: str) -> str:
    return (ANSWERS / f"{name}.txt").read_text()


def numbers(account: Account) -> list[tuple[str, Counts, int | None, int | None]]:
    return [(use.of, use.counts, use.used, use.limit) for use in account.uses]


class TestFileSystem:
    FOUND: ClassVar = {
        "frsize": 4096,
        "blocks": 1000,
        "bfree": 300,
        "bavail": 250,
        "files": 100,
        "ffree": 40,
        "favail": 40,
    }

    def test_what_root_keeps_is_neither_used_nor_free(self) -> None:
        """As df has it."""
        found = filesystem.read(self.FOUND)
        assert numbers(found) == [
            (filesystem.OF, Counts.DISK, 700 * 4096, 950 * 4096),
            (filesystem.OF, Counts.FILES, 60, 100),
        ]

    def test_no_inodes_are_no_limit(self) -> None:
        """Btrfs and network file systems say 0."""
        found = filesystem.read({**self.FOUND, "files": 0, "ffree": 0, "favail": 0})
        assert found.uses[1].percent is None
        assert not Account((found.uses[1],)).over(0)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"bavail": 2**64 - 10},
            {"bfree": 1001},
            {"blocks": 0, "bfree": 0, "bavail": 0},
            {"frsize": 0},
            {"favail": -1},
        ],
    )
    def test_numbers_that_cannot_be_are_unknown(self, wrong: dict[str, int]) -> None:
        with pytest.raises(QuotaError, match="another `provider`"):
            filesystem.read({**self.FOUND, **wrong})


def test_a_tree_is_measured_against_our_own_limit() -> None:
    found = tree.read("/data/work", {"sizes": 400, "disk": 512, "files": 3}, 500)
    assert found.fullest() == Use("all below /data/work", Counts.SIZES, 400, 500)
    assert found.over(79)


class TestLinuxQuota:
    def test_the_users_line_and_that_of_the_files_group_count(self) -> None:
        found = linux.read(said("quota-w"), "/dev/mapper/vg0-data", 1307)
        user, group = "user l1ccalib on /dev/mapper/vg0-data", "group zp on /dev/mapper/vg0-data"
        assert numbers(found) == [
            (user, Counts.DISK, 41943040 * KIB, 52428800 * KIB),
            (user, Counts.FILES, 120411, None),
            (group, Counts.DISK, 90177536 * KIB, 83886080 * KIB),
            (group, Counts.FILES, 300100, 400000),
        ]
        assert found.chosen == "user l1ccalib and group zp on /dev/mapper/vg0-data, 2 of 3 lines"
        assert found.over(85)  # by the group's soft limit

    def test_another_groups_line_does_not_count(self) -> None:
        found = linux.read(said("quota-w"), "/dev/mapper/vg0-data", 5)
        assert found.chosen == "user l1ccalib on /dev/mapper/vg0-data, 1 of 3 lines"

    def test_times_of_grace_are_no_limits(self) -> None:
        found = linux.read(said("quota-wp"), "filer01:/export/l1calo", 0)
        assert [use.limit for use in found.uses] == [52428800 * KIB, 10000]

    def test_a_wrapped_line_is_one_line(self) -> None:
        found = linux.read(said("quota-wrapped"), "filer01.example.org:/export/very/long/name/l1calo", 0)
        assert [(use.used, use.limit) for use in found.uses] == [(41943040 * KIB, 52428800 * KIB), (120411, 100000)]

    def test_none_is_no_limit(self) -> None:
        assert linux.read(said("quota-none"), "/dev/sda5", 0).fullest() is None

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            (said("quota-w"), "no line for /dev/sdb1"),
            ("", "nothing at all"),
            ("quota: Can't open quotafile", "Can't open quotafile"),
            (said("quota-w").replace("41943040", "40G"), "cannot be understood"),
            (said("quota-w").replace("blocks", "space "), "gives no blocks"),
        ],
    )
    def test_what_cannot_be_understood_is_unknown(self, text: str, what: str) -> None:
        with pytest.raises(QuotaError, match=what):
            linux.read(text, "/dev/sdb1", 1307)


class TestEos:
    def test_the_users_and_the_groups_lines_count_with_logical_bytes(self) -> None:
        found = eos.read(said("eos-m"), "/eos/user/l/l1ccalib/work", ME)
        assert numbers(found) == [
            ("user 1234 in /eos/user/", Counts.SIZES, 900000000000, 1000000000000),
            ("user 1234 in /eos/user/", Counts.FILES, 250000, 1000000),
            ("group 1307 in /eos/user/", Counts.SIZES, 79045069, None),
            ("group 1307 in /eos/user/", Counts.FILES, 1546, None),
        ]
        assert found.chosen == "user 1234, group 1307 in /eos/user/, 2 of 3 lines"

    def test_no_limit_is_not_full_whatever_the_percentage_says(self) -> None:
        found = eos.read(said("eos-nolimit"), "/eos/user/l", eos.Who(("9218",), ()))
        assert found.fullest() is None
        assert not found.over(0)

    def test_the_innermost_node_counts_and_a_projects_quota_is_everybodys(self) -> None:
        found = eos.read(said("eos-project"), "/eos/project/l/l1calo/work", ME)
        fullest = found.fullest()
        assert fullest is not None
        assert (fullest.of, fullest.percent) == ("project 99 in /eos/project/l/l1calo/", 96.0)

    def test_a_mount_with_another_name_takes_the_only_node_there_is(self) -> None:
        assert "/eos/user/" in eos.read(said("eos-nolimit"), "/mnt/eos", eos.Who(("9218",), ())).chosen

    @pytest.mark.parametrize(
        ("text", "path", "who", "what"),
        [
            (
                said("eos-m"),
                "/eos/user/x",
                eos.Who(("7",), ("8",)),
                "no quota of user 7 or group 8 in /eos/user/, but of",
            ),
            (said("eos-project"), "/eos/lhcb", ME, "none of which holds /eos/lhcb"),
            ("", "/eos/user/x", ME, "nothing at all"),
            ("error: errc=13 permission denied", "/eos/user/x", ME, "permission denied"),
            (said("eos-m").replace("usedlogicalbytes=900000000000 ", ""), "/eos/user/x", ME, "no usable usedlogical"),
            (said("eos-m").replace("=900000000000", "=-1"), "/eos/user/x", ME, "'-1'"),
            (said("eos-m") + said("eos-m"), "/eos/user/x", ME, "twice"),
        ],
    )
    def test_what_cannot_be_understood_is_unknown(self, text: str, path: str, who: eos.Who, what: str) -> None:
        with pytest.raises(QuotaError, match=what):
            eos.read(text, path, who)


class TestAfs:
    @pytest.mark.parametrize(
        ("name", "of", "used", "limit", "partition"),
        [
            ("afs-listquota", "volume user.smith", 5071, 15000, 86),
            ("afs-warning", "volume user.l1ccalib", 9700000, 10000000, 60),
            ("afs-nolimit", "volume p.atlas.l1calo", 1234567, None, 98),
            ("afs-long-name", "volume p.atlas.l1calo.calibratio", 750000000, 1500000000, 42),
        ],
    )
    def test_the_volumes_quota_counts_and_its_partition_is_told(
        self, name: str, of: str, used: int, limit: int | None, partition: int
    ) -> None:
        found = afs.read(said(name), "/afs/x")
        assert numbers(found) == [(of, Counts.SIZES, used * KIB, None if limit is None else limit * KIB)]
        assert found.remark == f"its partition is {partition} % full"

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            (said("afs-outside"), "nothing"),
            (said("afs-beyond"), "above 2 TiB"),
            (said("afs-listquota").replace("34%", "80%"), "which its numbers, 5071 of 15000, are not"),
            ("rubbish", "rubbish"),
        ],
    )
    def test_what_cannot_be_true_is_unknown(self, text: str, what: str) -> None:
        with pytest.raises(QuotaError, match=what):
            afs.read(text, "/tmp")

    def test_the_share_alone(self) -> None:
        fullest = afs.read_share(said("afs-share"), "/afs/x").fullest()
        assert fullest is not None
        assert (fullest.percent, fullest.limit) == (17.0, None)
        with pytest.raises(QuotaError):
            afs.read_share("fs: File '/x' doesn't exist", "/x")


@given(st.sampled_from(sorted(path.name for path in ANSWERS.iterdir())), st.data())
def test_no_damaged_answer_does_anything_but_be_unknown(name: str, data: st.DataObject) -> None:
    """A word exchanged, a piece cut out: either it is understood, or it is a QuotaError."""
    text = (ANSWERS / name).read_text()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    text = text[:start] + data.draw(st.text(max_size=8)) + text[end:]
    readers: list[Callable[[], Account]] = [
        lambda: linux.read(text, "/dev/sda5", 1307),
        lambda: eos.read(text, "/eos/user/x", ME),
        lambda: afs.read(text, "/afs/x"),
        lambda: afs.read_share(text, "/afs/x"),
    ]
    for read in readers:
        try:
            found = read()
        except QuotaError:
            continue
        assert all(use.limit is None or use.limit > 0 for use in found.uses)

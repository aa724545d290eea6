"""Which rows of an IOV table one version of a folder consists of: HEAD, a tag, or a user tag."""

from dataclasses import dataclass

from caf.domain.errors import SourceError
from caf.sources.cool.folders import Catalogue, Folder, near, quoted


@dataclass(frozen=True, slots=True)
class Version:
    """A condition on the IOV table's columns, or (`tag_id`) membership through IOV2TAG."""

    equal: tuple[tuple[str, int], ...] = ()
    tag_id: int | None = None

    def condition(self, alias: str, unindexed: bool = False) -> str:
        """Return the SQL condition on the IOV table `alias`; `unindexed` keeps SQLite from choosing an index by it."""
        plus = "+" if unindexed else ""
        return "".join(f" AND {plus}{alias}.{column} = {value}" for column, value in self.equal)


def version_of(catalogue: Catalogue, folder: Folder, tag: str = "") -> Version:
    """Resolve a tag ('' and HEAD are the head) as the library does; SourceError when it is unknown."""
    if tag.upper() in ("", "HEAD"):
        return Version((("USER_TAG_ID", 0), ("NEW_HEAD_ID", 0))) if folder.multi_version else Version()
    where = f"{folder.file} ({folder.database}): {folder.path}"
    if not folder.multi_version:
        raise SourceError(f"{where} is a single-version folder: it has no tag {tag}, only HEAD")
    tags = catalogue.tags(folder)
    if tag not in tags:
        raise SourceError(f"{where} has no tag {tag}{near(tag, [*tags, 'HEAD'])}")
    tag_id = tags[tag]
    user_tag = catalogue.connection.execute(
        f"SELECT 1 FROM {quoted(folder.iov_table)} WHERE USER_TAG_ID = ? LIMIT 1", (tag_id,)
    ).fetchone()
    return Version((("USER_TAG_ID", tag_id), ("NEW_HEAD_ID", 0))) if user_tag else Version(tag_id=tag_id)

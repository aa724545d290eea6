"""The one base error of caf and its few kinds."""


class CafError(Exception):
    """What happened, where, and what to do about it, in one or two lines that are fit to be shown to an operator.

    `transient` says that the same call may succeed later without anybody doing anything.
    """

    transient = False


class ConfigError(CafError):
    """listeners.toml, or what stands in it, cannot be used. Exit status 2."""


class SourceError(CafError):
    """The run database could not be read this time; nothing that is known of runs has changed."""

    transient = True


class StoreError(CafError):
    """caf's own database cannot be used."""


class Refused(CafError):
    """What was asked is not allowed in the state that things are in. Exit status 1."""


class NotFound(Refused):
    """The run, job or listener that was named does not exist."""


class BatchError(CafError):
    """The batch system did not do, or did not say, what it was asked."""

    transient = True


class StorageError(CafError):
    """A file or folder cannot be used as it should be."""


class StorageTimeout(StorageError):
    """A file system did not answer in time."""

    transient = True


class QuotaError(CafError):
    """How full the account is cannot be read this time; it is unknown, and nothing is removed for it."""

    transient = True


class MailError(CafError):
    """A mail was not taken by the server; it is kept and tried again."""

    transient = True


class MailServerAway(MailError):
    """The mail server cannot be reached, or does not say what a mail server says."""


class CredentialsError(CafError):
    """Credentials could not be renewed; those in use stay until they end."""

    transient = True


class PreparationError(StorageError):
    """An attempt's working area cannot be made as the job's configuration says."""

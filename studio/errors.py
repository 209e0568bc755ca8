"""Errors whose text is a sentence for people; it knows the sentences' keys, not who shows them.

Everything else that is raised is a bug and belongs in the log.
"""

from studio.i18n import text


class StudioError(Exception):
    """Something a person can act on. `str()` is the English sentence, `text(locale)` the locale's."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key)
        self.key = key
        self.values = values

    def text(self, locale: str = "en") -> str:
        """The sentence in "ja" or "en"; an error among its values speaks the same language."""
        values = {
            name: value.text(locale) if isinstance(value, StudioError) else value for name, value in self.values.items()
        }
        return text(self.key, locale, **values)

    def __str__(self) -> str:
        return self.text("en")


class StoreError(StudioError):
    """The database could not be opened or written: full disk, read-only folder, a newer version's file."""


class DatasetError(StudioError):
    """A file, a name or a text that a dataset cannot take."""


class UnknownDataset(DatasetError):
    """No dataset has this name."""


class UnknownRun(StudioError):
    """No run has this id."""


class UnknownDownload(StudioError):
    """No download has this id."""


class RunFailed(StudioError):
    """A run could not be started; nothing of it is left."""


class RunActive(RunFailed):
    """A run holds the device; wait for it or stop it."""


class ServerFailed(StudioError):
    """The model server could not be started or has died."""


class DownloadFailed(StudioError):
    """A download could not be started."""


class AugmentError(StudioError):
    """An augmentation could not start, or its endpoint gives nothing that can be used."""


class UnknownJob(AugmentError):
    """No augmentation has this id."""


class InferenceError(StudioError):
    """A model server could not be asked, or did not answer."""


class ArenaError(StudioError):
    """A question cannot be asked as it stands."""

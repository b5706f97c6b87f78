"""Every error that this project raises on purpose, and how a caller may react to it.

Errors of one stage that nobody else handles stay in that stage's module. Messages say
what happened, where, what became of the data and what to do next.

    IotError
    ├── ConfigurationError      a person has to change something; retrying is useless
    │   ├── SettingsError
    │   └── MappingError
    ├── TransientError          the world may heal; retry with backoff
    │   ├── BrokerUnavailable
    │   └── StorageUnavailable
    └── DataError               stored data is not what it must be; it was left as it is
"""

from collections.abc import Iterable


class IotError(Exception):
    """Base of all errors raised on purpose. Its text is fit to be shown to a user."""


class ConfigurationError(IotError):
    """A setting, an argument or a mapping is wrong. Raised before anything starts."""

    @classmethod
    def unknown_value(cls, key: str, value: object, valid: Iterable[object]) -> "ConfigurationError":
        """Build the message for a value outside a known set: names key, value and choices."""
        choices = ", ".join(str(choice) for choice in valid)
        return cls(f"{key}: received {value!r}; valid values are: {choices}")


class SettingsError(ConfigurationError):
    """An environment variable, `.env` line or command line option cannot be used."""


class MappingError(ConfigurationError):
    """A mapping file cannot be used. The message names the file, the key and the valid values."""


class TransientError(IotError):
    """Something outside is not there at the moment. Nothing was lost; try again."""


class BrokerUnavailable(TransientError):
    """The broker cannot be reached or refused the connection."""


class StorageUnavailable(TransientError):
    """Data could not be written durably. Whatever was not written was not acknowledged."""


class DataError(IotError):
    """Stored data contradicts itself, for example a file whose columns are not the schema's."""

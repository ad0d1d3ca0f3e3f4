"""The configuration: the settings of all parts in one model, read from file and environment, checked as a whole."""

from bridge.config.loading import Examined, Loaded, examine, load_config, read_config
from bridge.config.model import (
    FURTHER_FILES,
    Config,
    DeadLettersSettings,
    DispatchSettings,
    LogSettings,
    ShutdownSettings,
)
from bridge.config.secrets import secrets_of
from bridge.config.sources import SourceSettings

__all__ = [
    "FURTHER_FILES",
    "Config",
    "DeadLettersSettings",
    "DispatchSettings",
    "Examined",
    "Loaded",
    "LogSettings",
    "ShutdownSettings",
    "SourceSettings",
    "examine",
    "load_config",
    "read_config",
    "secrets_of",
]

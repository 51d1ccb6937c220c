"""The sample campaign of `make demo`."""

from config import Settings


def launch_sample(settings: Settings) -> int:
    """Placeholder until the import service is there."""
    return 0

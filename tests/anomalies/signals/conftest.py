from tests.stats.conftest import settings

__all__ = ["settings"]

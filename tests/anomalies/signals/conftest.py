from tests.stats.conftest import parsed_project, settings

__all__ = ["parsed_project", "settings"]

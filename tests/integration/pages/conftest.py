"""The application on the seeded database that REST is tested on; the tests here only read."""

from tests.integration.api.conftest import client, seeded

__all__ = ["client", "seeded"]

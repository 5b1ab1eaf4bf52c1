"""What every test gets: no network, no surprise from the environment, and databases.

`engine`          an engine on a migrated, empty database of the test's own. On the embedded
                  PostgreSQL; a test marked `both_servers` runs on that and on a server's.
`module_engine`   the same, shared by a module's tests, which then only read
`database_url`    the address of `engine`'s database, for a process that the test starts
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from jaxtyping import install_import_hook
from sqlalchemy import Engine
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
for name in [name for name in os.environ if name.startswith("UNITSCOPE_")]:
    del os.environ[name]

# Kernels run with the shapes of their annotations checked.
install_import_hook(["app.codec", "workers.kernels"], "beartype.beartype")

from tests import databases  # noqa: E402 (after the hook)

SERVERS = ["embedded", "server"]
StartCluster = Callable[[str], databases.Cluster]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Sends a file's tests to one process, for they share fixtures; and all browser tests to one,
    for they share a site."""
    return ByFileOrSite(config, log)


class ByFileOrSite(LoadScopeScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "e2e" if "/e2e/" in file else file


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Marked tests run on both kinds of PostgreSQL, the others on the embedded one."""
    if "server_kind" in metafunc.fixturenames:
        is_both = metafunc.definition.get_closest_marker("both_servers")
        kinds = SERVERS if is_both else SERVERS[:1]
        metafunc.parametrize("server_kind", kinds, scope="session", indirect=True)


@pytest.fixture(scope="session", autouse=True)
def _data_dir(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test touches the user's own data directory."""
    os.environ["UNITSCOPE_DATA_DIR"] = str(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def start_cluster() -> Iterator[StartCluster]:
    """Starts the cluster of a kind at its first use; all are stopped at the end.

    Not in pytest's temporary folder: another session of pytest closes that to all but its owner
    when it starts, and a server that runs as another user then fails in the middle of a test.
    """
    makers = {"embedded": databases.embedded_cluster, "server": databases.server_cluster}
    running: dict[str, databases.Cluster] = {}
    with ExitStack() as stack:

        def start(kind: str) -> databases.Cluster:
            if kind not in running:
                folder = stack.enter_context(TemporaryDirectory(prefix=f"unitscope-{kind}-"))
                running[kind] = stack.enter_context(makers[kind](Path(folder)))
            return running[kind]

        yield start


@pytest.fixture(scope="session")
def server_kind(request: pytest.FixtureRequest) -> str:
    """`embedded` or `server`."""
    return str(request.param)


@pytest.fixture(scope="session")
def cluster(start_cluster: StartCluster, server_kind: str) -> databases.Cluster:
    """The PostgreSQL that this test runs on."""
    return start_cluster(server_kind)


@pytest.fixture
def engine(cluster: databases.Cluster) -> Iterator[Engine]:
    with cluster.engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def module_engine(cluster: databases.Cluster) -> Iterator[Engine]:
    with cluster.engine() as engine:
        yield engine


@pytest.fixture
def database_url(engine: Engine) -> str:
    """For UNITSCOPE_DATABASE_URL."""
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)

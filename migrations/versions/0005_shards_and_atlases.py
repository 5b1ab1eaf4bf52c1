"""scans in shards by a queue of workers; atlases and directions

The queue's tables are procrastinate's own, made by the version that is installed.
"""

import sqlalchemy as sa
from alembic import op
from procrastinate.schema import SchemaManager
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_DROP_QUEUE = """
DROP TABLE procrastinate_events, procrastinate_periodic_defers, procrastinate_jobs,
    procrastinate_workers CASCADE;
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT oid::regprocedure::text FROM pg_proc
        WHERE proname LIKE 'procrastinate\\_%' AND pronamespace = current_schema()::regnamespace
    LOOP EXECUTE 'DROP FUNCTION ' || name || ' CASCADE'; END LOOP;
END $$;
DROP TYPE IF EXISTS procrastinate_job_to_defer_v1, procrastinate_job_event_type,
    procrastinate_job_status CASCADE;
"""


def upgrade() -> None:
    _add_columns()
    _end_what_no_worker_can_take_up()
    _create_jobs()
    _create_atlases()
    # As psycopg itself runs it: many statements, and percent signs that are no parameters.
    op.get_bind().connection.cursor().execute(SchemaManager.get_schema())


def _add_columns() -> None:
    time = sa.DateTime(timezone=True)
    for column in (
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("request", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("atlas_windows", sa.LargeBinary(), nullable=True),
        sa.Column("started_at", time, nullable=True),
    ):
        op.add_column("scans", column)
    for name in ("interval_share_errors", "interval_mass_errors"):
        errors = postgresql.ARRAY(sa.REAL())
        op.add_column("unit_stats", sa.Column(name, errors, server_default="{}", nullable=False))


def _end_what_no_worker_can_take_up() -> None:
    """Scans that were interrupted have no shards, and would seem to run for ever."""
    op.execute(
        """
        UPDATE scans SET status = 'failed', finished_at = now(), error =
            'It was interrupted under an older version, which scanned in one process. '
            'Run the same index command again: it begins a new job.'
        WHERE status IN ('queued', 'running')
        """
    )


def _create_jobs() -> None:
    now = sa.text("now()")
    time = sa.DateTime(timezone=True)
    op.create_table(
        "shards",
        sa.Column("scan_id", sa.Integer(), nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("first_window", sa.Integer(), nullable=False),
        sa.Column("last_window", sa.Integer(), nullable=False),
        sa.Column("n_windows", sa.Integer(), nullable=False),
        sa.Column("n_tokens", sa.BigInteger(), nullable=False),
        sa.Column("n_windows_done", sa.Integer(), nullable=False),
        sa.Column("n_tokens_done", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=True),
        sa.Column("n_attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("updated_at", time, server_default=now, nullable=False),
        sa.ForeignKeyConstraint(
            ["scan_id"], ["scans.id"], name=op.f("fk_shards_scan_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("scan_id", "index", name=op.f("pk_shards")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("started_at", time, server_default=now, nullable=False),
        sa.Column("seen_at", time, server_default=now, nullable=False),
        sa.Column("scan_id", sa.Integer(), nullable=True),
        sa.Column("shard", sa.Integer(), nullable=True),
        sa.Column("doing", sa.String(), nullable=False),
        sa.Column("n_tokens_done", sa.BigInteger(), nullable=False),
        sa.Column("tokens_per_second", sa.REAL(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "partials",
        sa.Column("scan_id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("first_unit", sa.Integer(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "scan_id", "source_id", "first_unit", "shard", "part", name=op.f("pk_partials")
        ),
        postgresql_partition_by="LIST (scan_id)",
    )


def _create_atlases() -> None:
    op.create_table(
        "atlases",
        sa.Column("scan_id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("n_positions", sa.Integer(), nullable=False),
        sa.Column("n_entries", sa.BigInteger(), nullable=False),
        sa.Column("n_pieces", sa.Integer(), nullable=False),
        sa.Column("unit_bytes", sa.Integer(), nullable=False),
        sa.Column("lows", sa.LargeBinary(), nullable=False),
        sa.Column("highs", sa.LargeBinary(), nullable=False),
        sa.Column("floors", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["scan_id"], ["scans.id"], name=op.f("fk_atlases_scan_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["sources.id"], name=op.f("fk_atlases_source_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("scan_id", "source_id", name=op.f("pk_atlases")),
    )
    op.create_table(
        "atlas_pieces",
        sa.Column("scan_id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("piece", sa.Integer(), nullable=False),
        sa.Column("first_position", sa.Integer(), nullable=False),
        sa.Column("counts", sa.LargeBinary(), nullable=False),
        sa.Column("units", sa.LargeBinary(), nullable=False),
        sa.Column("levels", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("scan_id", "source_id", "piece", name=op.f("pk_atlas_pieces")),
        postgresql_partition_by="LIST (scan_id)",
    )
    op.create_table(
        "directions",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("first_unit", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("vectors", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id"], ["sources.id"], name=op.f("fk_directions_source_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source_id", "first_unit", name=op.f("pk_directions")),
    )
    # What these hold does not compress; trying would only cost.
    for table, columns in (
        ("partials", ("payload",)),
        ("atlas_pieces", ("counts", "units", "levels")),
        ("directions", ("vectors",)),
    ):
        for column in columns:
            op.execute(f"ALTER TABLE {table} ALTER {column} SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.execute("UPDATE scans SET status = 'failed' WHERE status IN ('queued', 'cancelled')")
    op.get_bind().connection.cursor().execute(_DROP_QUEUE)
    for table in ("directions", "atlas_pieces", "atlases", "partials", "workers", "shards"):
        op.drop_table(table)
    for name in ("interval_mass_errors", "interval_share_errors"):
        op.drop_column("unit_stats", name)
    for name in ("started_at", "atlas_windows", "request", "n_tokens", "priority"):
        op.drop_column("scans", name)

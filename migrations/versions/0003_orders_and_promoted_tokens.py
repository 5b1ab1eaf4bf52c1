"""orders of units and promoted tokens"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_unit_stats_mean", "unit_stats", ["source_id", "mean", "index"])
    op.create_index("ix_unit_stats_std", "unit_stats", ["source_id", "std", "index"])
    op.create_index("ix_units_promoted", "units", ["promoted_ids"], postgresql_using="gin")


def downgrade() -> None:
    op.drop_index("ix_units_promoted", table_name="units", postgresql_using="gin")
    op.drop_index("ix_unit_stats_std", table_name="unit_stats")
    op.drop_index("ix_unit_stats_mean", table_name="unit_stats")

"""loss recovered as a job: batches of reports, when to try again, what a worker serves"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("loss_reports", sa.Column("batch", sa.Uuid(), nullable=True))
    op.add_column(
        "loss_reports", sa.Column("not_before", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_index("ix_loss_reports_open", "loss_reports", ["status"],
                    postgresql_where=sa.text("status <> 'complete'"))  # fmt: skip
    op.add_column("workers", sa.Column("queues", postgresql.ARRAY(sa.String()), nullable=True))
    op.add_column("workers", sa.Column("batch", sa.Uuid(), nullable=True))


def downgrade() -> None:
    op.drop_column("workers", "batch")
    op.drop_column("workers", "queues")
    op.drop_index("ix_loss_reports_open", "loss_reports")
    op.drop_column("loss_reports", "not_before")
    op.drop_column("loss_reports", "batch")

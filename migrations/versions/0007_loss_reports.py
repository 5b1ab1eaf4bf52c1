"""loss recovered"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "loss_reports",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("scan_id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("corpus_id", sa.Integer(), nullable=False),
        sa.Column("unit", sa.Integer(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("rule_hash", sa.String(), nullable=False),
        sa.Column("settings", postgresql.JSONB(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("worker_id", sa.Uuid(), nullable=True),
        sa.Column("n_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_tokens", sa.BigInteger(), nullable=True),
        sa.Column("n_documents", sa.Integer(), nullable=True),
        *(
            sa.Column(name, sa.DOUBLE_PRECISION(), nullable=True)
            for name in (
                "loss_intact", "loss_mean", "loss_rule", "ratio", "ratio_low", "ratio_high",
            )
        ),
        sa.Column("is_measurable", sa.Boolean(), nullable=True),
        sa.Column("software_version", sa.String(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        *(
            sa.ForeignKeyConstraint(
                [column],
                [f"{table}.id"],
                name=op.f(f"fk_loss_reports_{column}_{table}"),
                ondelete="CASCADE",
            )
            for column, table in (
                ("scan_id", "scans"), ("source_id", "sources"), ("corpus_id", "corpora"),
            )
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_loss_reports")),
        sa.UniqueConstraint(
            "scan_id",
            "source_id",
            "unit",
            "rule_hash",
            name=op.f("uq_loss_reports_scan_id_source_id_unit_rule_hash"),
        ),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_table("loss_reports")

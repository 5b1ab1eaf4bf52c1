"""automatic labels"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "labels",
        sa.Column("scan_id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("r2", sa.REAL(), nullable=False),
        sa.Column("mass_explained", sa.REAL(), nullable=True),
        sa.Column("precision", sa.REAL(), nullable=True),
        sa.Column("recall", sa.REAL(), nullable=True),
        sa.Column("is_explained", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("scan_id", "source_id", "index", name=op.f("pk_labels")),
        postgresql_partition_by="LIST (scan_id)",
    )
    op.create_index("ix_labels_r2", "labels", ["source_id", "r2", "index"])
    op.create_index(
        "ix_labels_words",
        "labels",
        [sa.text("to_tsvector('simple'::regconfig, words)")],
        postgresql_using="gin",
    )


def downgrade() -> None:
    op.drop_table("labels")

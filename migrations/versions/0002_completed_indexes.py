"""completed indexes"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "completed_indexes",
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("language_model_id", sa.Integer(), nullable=False),
        sa.Column("corpus_id", sa.Integer(), nullable=False),
        sa.Column("n_sources", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["language_model_id"],
            ["language_models.id"],
            name=op.f("fk_completed_indexes_language_model_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["corpus_id"],
            ["corpora.id"],
            name=op.f("fk_completed_indexes_corpus_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_completed_indexes")),
    )


def downgrade() -> None:
    op.drop_table("completed_indexes")

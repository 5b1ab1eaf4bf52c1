"""tokens to write with; hypotheses and explanations"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "access_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("cookie_digest", sa.LargeBinary(), nullable=False),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_tokens")),
        sa.UniqueConstraint("name", name=op.f("uq_access_tokens_name")),
        sa.UniqueConstraint("digest", name=op.f("uq_access_tokens_digest")),
        sa.UniqueConstraint("cookie_digest", name=op.f("uq_access_tokens_cookie_digest")),
    )
    op.create_table(
        "explanations",
        *_of_a_unit("explanations"),
        sa.Column("text", sa.String(), nullable=False),
    )
    op.create_index("ix_explanations_unit", "explanations", ["source_id", "unit", "id"])
    op.create_index(
        "ix_explanations_text",
        "explanations",
        [sa.text("to_tsvector('simple'::regconfig, text)")],
        postgresql_using="gin",
    )
    op.create_index(
        "uq_explanations_text",
        "explanations",
        ["source_id", "unit", "author", sa.text("md5(text)")],
        unique=True,
    )
    op.create_index("ix_labels_best", "labels", [sa.text("(-r2)"), "source_id", "index"])
    op.create_table(
        "hypotheses",
        *_of_a_unit("hypotheses"),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("corpus", sa.String(), nullable=False),
        sa.Column("threshold", sa.DOUBLE_PRECISION(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(), nullable=False),
        sa.UniqueConstraint(
            "source_id", "unit", "name", name=op.f("uq_hypotheses_source_id_unit_name")
        ),
    )


def _of_a_unit(table: str) -> tuple[sa.Column | sa.Constraint, ...]:
    return (
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("unit", sa.Integer(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        _moment("created_at"),
        _moment("updated_at"),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        sa.ForeignKeyConstraint(
            ["source_id"],
            ["sources.id"],
            name=op.f(f"fk_{table}_source_id_sources"),
            ondelete="CASCADE",
        ),
    )


def _moment(name: str) -> sa.Column:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
    )


def downgrade() -> None:
    op.drop_index("ix_labels_best", "labels")
    for table in ("hypotheses", "explanations", "access_tokens"):
        op.drop_table(table)

"""models of more than two thousand million parameters"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("language_models", "n_params", type_=sa.BigInteger())


def downgrade() -> None:
    op.alter_column("language_models", "n_params", type_=sa.Integer())

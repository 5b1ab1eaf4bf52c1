"""Settings. The only module that reads the environment."""

from functools import lru_cache
from pathlib import Path

import platformdirs
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import InvalidInput


class Settings(BaseSettings):
    """What a deployment can set; the README's table is generated from the descriptions here."""

    model_config = SettingsConfigDict(env_prefix="UNITSCOPE_", extra="ignore")

    database_url: str | None = Field(
        None,
        description="Address of a PostgreSQL server, version 15 or newer "
        "(`postgresql://user:password@host/name`). Unset: an embedded PostgreSQL inside the "
        "data directory.",
    )
    data_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("unitscope")),
        description="Where the embedded database, local copies of atlases and temporary files "
        "live.",
    )
    cache_gb: float = Field(
        20,
        gt=0,
        allow_inf_nan=False,
        description="Gigabytes that local copies of atlases may take in the data directory; those "
        "used least recently go first.",
    )
    host: str = Field("127.0.0.1", description="Address that `unitscope serve` listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port that `unitscope serve` listens on.")


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read once. Raises InvalidInput that names the variable at fault."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = f"UNITSCOPE_{'_'.join(str(part) for part in first['loc'])}".upper()
        raise InvalidInput(f"{name}={first['input']!r} will not do: {first['msg']}.") from error

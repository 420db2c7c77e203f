from postgres import postgres, postgres_server  # noqa: F401

from served_models import shared_exports  # noqa: F401

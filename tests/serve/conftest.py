from served_models import shared_exports  # noqa: F401

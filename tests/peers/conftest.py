from small_world import finished, small  # noqa: F401  (fixtures)

from small_world import copied, finished, small  # noqa: F401  (fixtures)

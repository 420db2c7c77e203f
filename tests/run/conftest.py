from small_world import copied, finished, quick, small  # noqa: F401  (fixtures)

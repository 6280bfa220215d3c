"""The JSON files that stages leave beside their tables, for other stages: one module a kind, its only description."""

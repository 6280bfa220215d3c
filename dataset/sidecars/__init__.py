"""The JSON files that stages write next to their tables, for other stages: one module describes each kind."""

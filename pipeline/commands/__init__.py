"""The commands: each reads its parameters, calls one stage, and says how it went."""

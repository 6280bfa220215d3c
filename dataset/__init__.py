"""The contract between the stages: parameters, table schemas, files, errors. Imports neither sibling package."""

"""The shape of the house: sizes, layers, licences, lock files, generated files."""

"""The vendors' own packages against our twins and adapters, each in an environment of its own beside ours."""

"""Examples: complete programs a user can read, run and copy. They import the public package only;
adapters, in `providers`, also what adapters are made of.
"""

"""The product shoot: photographs in, finished pictures of the product in generated scenes out.

`photos` chooses the inputs, `imaging` holds the pictures' arithmetic, `workflows` composes the calls.
"""

"""The model of the test of fal's jobs through the whole engine."""

import heddle

draw = heddle.model("fal_engine_draw")

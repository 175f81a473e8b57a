"""Laws that hold for every input, searched by hypothesis from fixed seeds."""

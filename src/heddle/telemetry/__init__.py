"""Tell what the system does, in words taken from one catalogue.

``catalog`` says what there is to tell; ``recorder`` counts, measures and logs it and refuses anything else; ``context``
carries the ids that every line names; ``logs`` writes the lines; ``multiprocess`` lets several processes share one
``/metrics``; ``generate`` writes rules, dashboards and runbooks. Nothing here decides about work. Every stage of the
walk stands before it; logs, metrics and traces behind it.
"""

"""`heddle doctor`: tell how everything is; 1 when something is wrong, each with what to do."""

import argparse
import dataclasses
import json
import os
import sys

from heddle.cli import complaints, table
from heddle.service import database, setup


def run(given: argparse.Namespace) -> int:
    """Look at everything and print it."""
    limits = setup.beside_service()
    with database.using(limits) as address:
        setup.complete(os.environ, limits=limits, database_url=address)
        setup.command()
        from heddle.service import doctor

        findings = doctor.examine(limits)
    wrong = [finding for finding in findings if finding.problem is not None]
    if given.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            mark = "WRONG" if finding.problem is not None else "warn" if finding.warning is not None else "ok"
            # An endpoint's own words may be among them.
            print(f"{mark:5} {finding.name:{width}}  {table.line(finding.value)}")
            if finding.problem is not None:
                print(f"      {'':{width}}  {table.line(finding.problem)}; {finding.remedy}")
            if finding.warning is not None:
                print(f"      {'':{width}}  {table.line(finding.warning)}")
        print(f"{len(findings) - len(wrong)} well, {len(wrong)} wrong", file=sys.stderr)
    return complaints.Exit.UNWELL if wrong else complaints.Exit.DONE

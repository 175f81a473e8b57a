"""Say what to do when what was metered and what is billed do not fit.

Data only. Before it: ``alerts``. After: the documentation, one page for each alert.
"""

from typing import Final

from heddle.telemetry.catalog import metrics
from heddle.telemetry.catalog.records import Runbook
from heddle.telemetry.catalog.runbooks import commands
from heddle.telemetry.catalog.runbooks.commands import do
from heddle.telemetry.catalog.runbooks.work import MONEY_OWNER

ALL: Final = (
    Runbook(
        alert="HeddleSpendDiverges",
        user_feels="Nothing; budgets are held to sums that are not the provider's.",
        see_it="`heddle spend show` tells metered, reported and their difference by day.",
        stop_it="Lower the budgets of those who spend at the endpoint until the cause is known.",
        mend_it="Correct the price, import what is missing, or ask the provider about its bill.",
        meaning="Over the days with a report, metered and reported spend differ by more than allowed.",
        impact="Caps stop too early or too late; customers are charged the wrong sum.",
        diagnosis=(
            do("Since which day, and which way?", commands.SPEND_SHOW),
            do("Are charges estimates?", commands.read(metrics.MONEY_ESTIMATED)),
            do("Is the report whole: all projects, all keys, days in UTC?", commands.SPEND_SHOW),
        ),
        mitigation=(
            do("Import what is missing.", commands.SPEND_IMPORT),
            do("More was reported than metered and nobody knows why: pause it.", commands.PAUSE_HERE),
        ),
        verification=(do("The share is small again.", commands.read(metrics.SPEND_DIVERGENCE)),),
        escalation=MONEY_OWNER,
    ),
    Runbook(
        alert="HeddleMeterSilent",
        user_feels="Nothing, until the bill comes: no cap holds these calls.",
        see_it="`heddle spend show` has a day with many calls and no money.",
        stop_it="Pause the endpoint, or give it a `price_usd`.",
        mend_it="Give the endpoint a price; mend the adapter that reads what the provider charges.",
        meaning="Calls to a paid endpoint ended well and all of them cost nothing.",
        impact="Money is spent that no budget sees.",
        diagnosis=(
            do("Which days, how many calls?", commands.SPEND_SHOW),
            do("Have the calls of its models a price there?", commands.QUOTE),
        ),
        mitigation=(do("Pause it until it has a price.", commands.PAUSE_HERE),),
        verification=(do("Money is charged again.", commands.read(metrics.MONEY_CHARGED)),),
        escalation=MONEY_OWNER,
    ),
    Runbook(
        alert="HeddleSpendUnderUnknownKey",
        user_feels="Nothing; somebody else spends our money.",
        see_it="The provider's report names an account that `spend_accounts` of the endpoint does not.",
        stop_it="Revoke the key at the provider.",
        mend_it="Find out whose it is; name it in `spend_accounts` if it is ours, and run `heddle migrate`.",
        meaning="The provider bills us for a key or project that this installation does not use.",
        impact="Money, and perhaps a stolen key.",
        diagnosis=(do("Which days?", commands.SPEND_SHOW),),
        mitigation=(do("Revoke the key in the provider's own console, which nothing here can do."),),
        verification=(do("The gauge is 0.", commands.read(metrics.SPEND_ALARM)),),
        escalation=MONEY_OWNER,
    ),
    Runbook(
        alert="HeddleCostsEstimated",
        user_feels="Nothing; what a run cost may be a little wrong.",
        see_it="`heddle_money_estimated_total` by endpoint; usage shows estimates.",
        stop_it="Nothing to stop: results are kept, and booked at what was reserved.",
        mend_it="Bring the adapter's price list up to date, or give the endpoint a `price_usd`.",
        meaning="An endpoint goes by its price list, and neither the list nor the provider told what calls cost.",
        impact="Budgets and bills are as good as the estimate.",
        diagnosis=(
            do("Which endpoint?", commands.read(metrics.MONEY_ESTIMATED)),
            do("How far from the provider's own numbers?", commands.SPEND_SHOW),
        ),
        mitigation=(do("Correct what matters by hand.", commands.SPEND_ADJUST),),
        verification=(do("The counter stands still.", commands.read(metrics.MONEY_ESTIMATED)),),
        escalation=MONEY_OWNER,
    ),
)

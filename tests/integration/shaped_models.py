"""The models of the test of shaped results that equal calls share."""

import heddle
from heddle import Reuse
from heddle.core.policy.reuse import Among

own = heddle.model("shaped_own", reuse=Reuse(needs=("seed",)))
shared = heddle.model("shaped_shared", reuse=Reuse(needs=("seed",), among=Among.ALL_TENANTS))

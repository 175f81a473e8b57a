"""Tell callers on every answer what they may take and what is left: ``RateLimit-Policy`` and ``RateLimit``.

The fields of draft-ietf-httpapi-ratelimit-headers-10, one item for each bound of the tenant: ``runs`` in any minute and
``open-runs``. A tenant without bounds, or a request whose key was not valid, gets neither. The figures are at most a
second old; a refusal tells by ``Retry-After`` when to come back. Nothing is decided here.
"""

import logging

import django.db
import django.http

from heddle.api import auth
from heddle.api.room import room
from heddle.core.policy import quota

logger = logging.getLogger(__name__)


def headers(request: django.http.HttpRequest) -> dict[str, str]:
    """Give the two fields for a request's tenant, or nothing."""
    tenant = auth.known_tenant(request)
    if tenant is None or not tenant.quota.is_any:
        return {}
    try:
        use = room().heddle.backpressure.use(tenant)
    except django.db.Error as error:
        # The answer itself stands; what cannot be counted just now is left out of it.
        logger.warning("the quota of %s cannot be counted: %s", tenant.name, error)
        return {}
    return {} if use is None else fields(tenant.quota, use)


def fields(bounds: quota.Quota, use: quota.Use) -> dict[str, str]:
    """Write both fields; nothing for a tenant whose only bound is money."""
    policies, limits = [], []
    left = quota.remaining(bounds, use)
    if left is not None:
        policies.append(f'"runs";q={bounds.runs_per_min};w={int(quota.WINDOW_S)}')
        limits.append(f'"runs";r={left};t={quota.resets_in_s(use)}')
    if bounds.open_runs_max is not None:
        policies.append(f'"open-runs";q={bounds.open_runs_max}')
        limits.append(f'"open-runs";r={max(0, bounds.open_runs_max - use.open_runs)}')
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(limits)} if limits else {}

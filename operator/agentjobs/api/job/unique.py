"""The key of a job with `unique`. Pure."""

import hashlib
import json

from agentjobs.api.job.resolve import STEERING, underived
from agentjobs.contract import Resolved


def unique_key(resolved: Resolved, *, name: str, uid: str) -> str:
    """Return the key of a job that has `unique`: its own, else a hash of its whole work.

    The hash excludes values derived from the job's name and uid, fields that may change, and `unique` itself.
    """
    spec = resolved["spec"]
    own = (spec.get("unique") or {}).get("key")
    if own is not None:
        return str(own)
    bare = underived(spec, name=name, uid=uid)
    work = {key: value for key, value in bare.items() if key not in STEERING and key != "unique"}
    # Parameters in texts of follow-ups are replaced later than in other texts.
    template = resolved.get("template")
    later = template["parameters"] if template and work.get("followUps") else {}
    text = json.dumps([work, resolved["scripts"], later], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

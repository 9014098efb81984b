"""Texts for people and logs, without what opens doors: signatures, keys and passwords in addresses."""

import re

SECRETS = re.compile(
    r"(?i)^(sig|signature|se|sp|sr|sv|st|skoid|sktid|skt|ske|sks|skv|expires|policy|x-(amz|goog|oss)-.*|googleaccessid"
    r"|.*(token|key|secret|passw|auth|credential|jwt|hmac).*)$"
)
"""Query keys of signed addresses (Azure SAS, S3, Google, CloudFront, OSS), and whatever sounds like one."""
USER = re.compile(r"\b(?!(?:az|azure|abfss?)://)([A-Za-z][A-Za-z0-9+.-]*)://[^/@\s]*@")
"""Who asks, and by which password; of Azure's addresses what stands there is the container."""
QUERY = re.compile(r"([?&;])([^?&;=\s]+)=[^&;\s'\"()]*[^&;:,.\s'\"()]")


def redacted(text: str) -> str:
    """`text` without users, passwords and signatures of the addresses in it."""
    without_user = USER.sub(r"\1://", text)
    return QUERY.sub(lambda part: f"{part[1]}{part[2]}=***" if SECRETS.match(part[2]) else part[0], without_user)

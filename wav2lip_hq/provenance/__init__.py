"""Signed manifests (C2PA) of what was made of what: written into every result, shown and verified.

``identity``: the certificate that signs; ``claim``: what is said; ``seal``: signing a file before it gets its name;
``reading``: what a file says of itself, and whether that holds. Nothing here uses the network, except a timestamp
server that the user configured.
"""

from .claim import Claim, Input, Moved
from .consent import Consent, read_consent
from .finding import find
from .identity import Identity, load_identity
from .reading import Found, read
from .seal import Seal

__all__ = [
    "Claim",
    "Consent",
    "Found",
    "Identity",
    "Input",
    "Moved",
    "Seal",
    "find",
    "load_identity",
    "read",
    "read_consent",
]

"""What can be wrong with a DID, a log, a proof or a list; every fault says why in one sentence."""


class CredentialFault(ValueError):
    """Something about a DID, a document, a proof or a status list does not hold."""


class InvalidMultibase(CredentialFault):
    """The text is not in a known base, or too long."""


class InvalidMultihash(CredentialFault):
    """The bytes are no multihash, or of an unknown function."""


class InvalidKey(CredentialFault):
    """The bytes are no public key of a known kind."""


class InvalidDid(CredentialFault):
    """The text is no DID of a known method, or its document or log does not hold."""


class NotFound(CredentialFault):
    """The DID is sound, but has no such version."""


class NotResolvable(CredentialFault):
    """The DID may be sound, but what would resolve it is not here."""


class InvalidProof(CredentialFault):
    """A proof does not hold for the document it stands in."""


class InvalidCredential(CredentialFault):
    """The document does not have the form of a credential, or is not valid at the time asked for."""


class InvalidStatusList(CredentialFault):
    """A status list cannot be read, is too large, or has no such entry."""

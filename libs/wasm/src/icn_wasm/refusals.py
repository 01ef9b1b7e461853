"""Why code is not accepted, and how a call ends without effect. Reasons are stable: clients match on them."""

from enum import StrEnum


class CodeReason(StrEnum):
    """Why code is refused when it is stored."""

    CODE_TOO_LARGE = "CODE_TOO_LARGE"
    MALFORMED_MODULE = "MALFORMED_MODULE"
    INVALID_MODULE = "INVALID_MODULE"
    FLOAT_USED = "FLOAT_USED"
    FEATURE_UNSUPPORTED = "FEATURE_UNSUPPORTED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    START_FUNCTION = "START_FUNCTION"
    IMPORT_UNKNOWN = "IMPORT_UNKNOWN"
    EXPORT_MISSING = "EXPORT_MISSING"
    EXPORT_RESERVED = "EXPORT_RESERVED"
    INTERFACE_VERSION = "INTERFACE_VERSION"
    CAPABILITY_UNSUPPORTED = "CAPABILITY_UNSUPPORTED"
    MEMORY_INVALID = "MEMORY_INVALID"
    SEGMENT_OUT_OF_BOUNDS = "SEGMENT_OUT_OF_BOUNDS"


class CodeRefused(ValueError):
    """The bytes are not code that this engine runs."""

    def __init__(self, reason: CodeReason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class StopReason(StrEnum):
    """How a call ended without effect."""

    CONTRACT_ERROR = "CONTRACT_ERROR"
    """The contract answered with an error."""
    CONTRACT_ABORTED = "CONTRACT_ABORTED"
    OUT_OF_GAS = "OUT_OF_GAS"
    CALL_DEPTH_EXCEEDED = "CALL_DEPTH_EXCEEDED"
    TRAP = "TRAP"
    HOST_CALLS_EXCEEDED = "HOST_CALLS_EXCEEDED"
    HOST_CALL_REFUSED = "HOST_CALL_REFUSED"
    REGION_INVALID = "REGION_INVALID"
    STORAGE_BOUNDS = "STORAGE_BOUNDS"
    WRITE_IN_QUERY = "WRITE_IN_QUERY"
    KEY_UNDECLARED = "KEY_UNDECLARED"
    ENTRY_POINT_MISSING = "ENTRY_POINT_MISSING"
    MESSAGE_INVALID = "MESSAGE_INVALID"
    RESULT_INVALID = "RESULT_INVALID"
    REPLY_UNSUPPORTED = "REPLY_UNSUPPORTED"


class Stopped(Exception):
    """Ends a call without effect. Gas used so far stays used."""

    def __init__(self, reason: StopReason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class EngineFault(RuntimeError):
    """The machine, not the contract, could not go on: the node must stop, since others may not."""

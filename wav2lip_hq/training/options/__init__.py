"""Options of training: one frozen dataclass per task, documented in its fields. Imports no torch."""

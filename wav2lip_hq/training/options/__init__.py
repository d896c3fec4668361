"""What a training run can be told: one frozen dataclass a task, documented in its fields. Imports no torch."""

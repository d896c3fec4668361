"""The version of the package, where everything may read it."""

VERSION = "0.1.0"

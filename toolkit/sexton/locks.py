"""The advisory locks that Sexton takes; a project has its own beside them."""

# Any constant will do, as long as nobody else uses it: "sexton" as a number, twice.
UPGRADE = 0x736578746F6E02  # whoever changes the schema
REPAIR = 0x736578746F6E03  # whoever makes a plan's changes, or takes a run back

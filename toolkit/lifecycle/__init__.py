"""Life cycle: providers, models and their users, from adding to deleting."""

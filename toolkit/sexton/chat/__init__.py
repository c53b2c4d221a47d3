"""The chat product: providers, model configs and chats, the first declaration."""

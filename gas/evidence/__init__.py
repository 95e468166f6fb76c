"""How far scores can be trusted: designs trained in full, and what scores said of them."""

__all__: list[str] = []

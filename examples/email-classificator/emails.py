"""How an e-mail becomes text for the model: shared by the training and by the node, so that both mean the same."""


def as_text(subject: str, text: str) -> str:
    """Subject and text as the model reads them."""
    return f"{subject}\n{text}"

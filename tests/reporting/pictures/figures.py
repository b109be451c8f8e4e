"""What a test wants to know of a figure."""


def lines(figure):
    """The lines of a figure by their label."""
    return {line.get_label(): line for line in figure.axes[0].lines}


def labels(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]

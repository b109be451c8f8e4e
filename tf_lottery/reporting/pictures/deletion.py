"""The picture of Optimal Brain Damage: the loss while weights are deleted, as it is predicted and as it is."""

from matplotlib import ticker

from tf_lottery.reporting import pictures

# Of the lines: their columns in `analysis.deletion.losses`, names and looks.
_LINES = {
    'actual': ('deleted by saliency', {'color': pictures.COLOURS[0]}),
    'predicted': ('predicted by the saliencies', {'color': pictures.COLOURS[0], 'linestyle': (0, (4, 2))}),
    'by_magnitude': ('deleted by magnitude', {'color': pictures.COLOURS[1]}),
}
# Shares whose losses the alternative text has; LeCun et al. say of 30 % that predicted and actual loss agree.
_TOLD = (0.1, 0.3, 0.5, 0.6, 0.8)


def draw(losses):
    """Yields the Picture of what has been measured, if anything.

    Args:
      losses: DataFrame of `analysis.deletion.losses`.
    """
    if losses.empty:
        return
    figure, axes = pictures.canvas('Deleting trained weights', 'weights deleted (%)', 'training loss')
    for column, (name, look) in _LINES.items():
        spread = losses.groupby('deleted')[column].agg(['mean', 'min', 'max'])
        axes.plot(100 * spread.index, spread['mean'], label=name, **look)
        axes.fill_between(100 * spread.index, spread['min'], spread['max'], color=look['color'], alpha=0.12,
                          linewidth=0)
    if (losses[list(_LINES)] > 0).all(axis=None):
        axes.set_yscale('log')
        axes.yaxis.set_major_formatter(ticker.FormatStrFormatter('%g'))
    axes.set_xlim(0, 100)
    figure.legend(loc='outside lower center', ncols=1)
    means = losses.groupby('deleted')[list(_LINES)].mean()
    told = [means.index[abs(means.index - share).argmin()] for share in _TOLD]
    sentences = [f'{100 * share:.3g} % deleted: predicted {means.loc[share, "predicted"]:.3g}, actual '
                 f'{means.loc[share, "actual"]:.3g}, by magnitude {means.loc[share, "by_magnitude"]:.3g}.'
                 for share in told]
    yield pictures.Picture(
        'deletion', figure, ' '.join([f'The loss is {means["actual"].iloc[0]:.3g} with all weights.', *sentences]),
        f'The mean loss of {losses["examples"].iloc[0]:,} training examples while weights of the trained dense network '
        'are deleted, those of the lowest saliency h w^2 / 2 first, and what the sum of these saliencies predicts '
        '(LeCun et al. 1990); beside them those of the lowest magnitude first. Means over replicates, bands reach from '
        'the lowest to the highest. Nothing is trained after it was deleted.', 'Optimal Brain Damage')

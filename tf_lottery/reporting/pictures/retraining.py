"""The picture of rewinding against fine-tuning."""

from tf_lottery.branches import BRANCHES
from tf_lottery.reporting import pictures, results
from tf_lottery.reporting.analysis.retraining import METHODS
from tf_lottery.reporting.pictures.density import density_axis


def draw(best, measure, published):
    """Yields the Picture of what each way to retrain ends in, beside the published medians where there are some.

    Args:
      best: DataFrame of `analysis.retraining.best`.
      measure: Measure, the leading one, which it holds.
      published: DataFrame of `analysis.retraining.published`, or None.
    """
    if best['branch'].nunique() < 2:
        return
    figure, axes = pictures.canvas('Rewinding and fine-tuning', 'weights remaining (%)', measure.axis())
    parts = []
    for branch in METHODS:
        rows = best[best['branch'] == branch]
        middle, low, high = (measure.scale * rows[name] for name in ('median', 'low', 'high'))
        title = 'Weight rewinding' if branch == 'ticket' else BRANCHES[branch].title
        pictures.errorbars(axes, 100 * rows['density'], middle, [middle - low, high - middle], branch, label=title)
        parts += [f'{title}, {results.percent(density)} % of the weights: {measure.with_unit(value)}.'
                  for density, value in zip(rows['density'], rows['median'], strict=True)]
        if published is not None:
            theirs = published[published['branch'] == branch]
            pictures.errorbars(axes, 100 * theirs['density'], measure.scale * theirs['median'], None, branch,
                               linestyle=':', alpha=0.7, label=f'{title}, published')
    density_axis(axes, best['density'])
    figure.legend(loc='outside lower center', ncols=2 if published is None else 1)
    beside = ('' if published is None else
              ' Dotted: the published medians for this network on CIFAR-10, trained for 182 epochs (2003.02389).')
    yield pictures.Picture(
        'retraining', figure, ' '.join([f'Median {measure.on_test}.', *parts]),
        f'Each method at the retraining length of best median validation {measure.title}; medians, lowest and highest '
        f'run.{beside}', 'Rewinding and fine-tuning')

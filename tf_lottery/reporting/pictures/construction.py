"""Pictures of random networks that were pruned until they were near a trained one: the error against their width."""

from matplotlib import ticker

from tf_lottery.pruning.random_network import TARGETS
from tf_lottery.pruning.subset_sum import WAYS, bound_of_best_product, typical_of_best_subset
from tf_lottery.reporting import pictures

_SECTION = 'A random network, pruned'
_WIDTH = 'random products n for each weight'
_DASHED, _DOTTED = (0, (4, 1.5)), (0, (1, 1.2))


def draw(built, measure):
    """Yields Pictures of the errors of weights and of outputs, and of the leading measure.

    Args:
      built: DataFrame of `analysis.construction.constructions`; without any rows there is no Picture.
      measure: Measure, the leading one.
    """
    if built.empty:
        return
    yield _weights(built[built['target'] == 'network'])
    yield _outputs(built)
    judged = built[built['test'].notna()]
    if len(judged):
        yield _measured(judged, measure)


def _weights(built):
    figure, axes = pictures.canvas('Error of the weights', _WIDTH, "error, as a share of the layer's largest weight")
    parts = []
    for way, colour in _coloured(built):
        rows = built[built['way'] == way]
        for column, what, line in (('max', 'largest', '-'), ('median', 'median', _DASHED)):
            _line(axes, rows, f'{column}_weight_error', colour, line, f'{WAYS[way].short}: {what}')
            parts.append(_ends(rows, f'{column}_weight_error', f'{WAYS[way].title}, {what} error'))
    widths, weights = sorted(set(built['width'])), int(built['weights'].max())
    bound = [bound_of_best_product(width, weights) for width in widths]
    axes.plot(widths, bound, color=pictures.COLOURS[0], linestyle=_DOTTED, label='best product: bound of the largest')
    searched = [width for width in widths if width <= WAYS['pensia'].most]
    axes.plot(searched, [typical_of_best_subset(width) for width in searched], color=pictures.COLOURS[1],
              linestyle=_DOTTED, label='best subset: counted median')
    _log(axes, widths)
    figure.legend(loc='outside lower center', ncols=2)
    return pictures.Picture(
        'construction_weights', figure, ' '.join(['Error of the weights against the products for each.', *parts]),
        f'Each of {weights:,} weights of the network is made of n products of random weights: of the one that comes '
        'nearest (2002.00585), or of the subset whose sum does (2006.07990). The dotted lines are derived here. With a '
        'chance of 95 % no best product is farther away than the upper one, which falls like 1 / n. The lower one is '
        'the median of the best subset as counting subsets has it, no bound, and halves with each product. The largest '
        'error is that of a weight whose products nearly all have the wrong sign: of one in 2^n all do.', _SECTION)


def _outputs(built):
    shares = built.assign(**{name: built[name] / built['max_output'] for name in _OFF})
    targets = [target for target in TARGETS if target in set(built['target'])]
    figure, panels = pictures.panels(len(targets))
    parts = []
    for axes, target in zip(panels, targets, strict=True):
        pictures.entitle(axes, f'The {TARGETS[target]}', 'error of the outputs')
        for way, colour in _coloured(built):
            rows = shares[(shares['way'] == way) & (shares['target'] == target)]
            for (column, what), line in zip(_OFF.items(), ('-', _DASHED), strict=True):
                _line(axes, rows, column, colour, line, f'{WAYS[way].short}: {what}')
            parts.append(_ends(rows, 'max_output_error', f'{WAYS[way].title}, the {TARGETS[target]}'))
        _log(axes, sorted(set(built['width'])))
    panels[-1].set_xlabel(_WIDTH)
    pictures.branch_legend(figure, panels)
    return pictures.Picture(
        'construction_outputs', figure,
        ' '.join(['Error of the outputs against the products for each weight.', *parts]),
        'How far the outputs of the pruned random network are from those of the trained one on '
        f'{built["examples"].max():,} test examples, before a relu, as a share of the largest output.', _SECTION)


_OFF = {'max_output_error': 'largest', 'mean_output_error': 'mean'}


def _measured(judged, measure):
    figure, axes = pictures.canvas(f'Test {measure.title} of a network that was never trained', _WIDTH,
                                   measure.axis(measure.title))
    parts, scaled = [], judged.assign(test=measure.scale * judged['test'])
    for way, colour in _coloured(judged):
        rows = scaled[scaled['way'] == way]
        _line(axes, rows, 'test', colour, '-', WAYS[way].short)
        means = rows.groupby('width')['test'].mean()
        parts.append(f'{WAYS[way].title}: ' + ', '.join(
            f'{value:.{measure.digits}f} at {width}' for width, value in means.items()) + '.')
    trained = measure.scale * judged['target_test'].mean()
    axes.axhline(trained, color=pictures.GREY, linestyle='--', linewidth=1.2, label='the trained network')
    _widths(axes, sorted(set(judged['width'])))
    figure.legend(loc='outside lower center', ncols=2)
    what = f'Test {measure.title} against the products for each weight'
    return pictures.Picture(
        f'construction_{measure.name}', figure,
        ' '.join([f'{what}; {trained:.{measure.digits}f} for the trained network.', *parts]),
        f'On {judged["examples"].max():,} test examples: of random networks that were pruned, and whose weights are as '
        'they were drawn.', _SECTION)


def _coloured(built):
    """The ways there are, each with its colour."""
    return [(way, colour) for way, colour in zip(WAYS, pictures.COLOURS, strict=False) if way in set(built['way'])]


def _line(axes, rows, column, colour, line, label):
    """The mean over replicates at each width, and a band from the lowest to the highest."""
    points = rows.groupby('width')[column].agg(['mean', 'min', 'max'])
    axes.plot(points.index, points['mean'], color=colour, linestyle=line, marker='o', label=label,
              markerfacecolor=colour if line == '-' else 'white')
    axes.fill_between(points.index, points['min'], points['max'], color=colour, alpha=0.15, linewidth=0)


def _ends(rows, column, name):
    means = rows.groupby('width')[column].mean()
    return f'{name}: {means.iloc[0]:.1e} at {means.index[0]}, {means.iloc[-1]:.1e} at {means.index[-1]}.'


def _log(axes, widths):
    axes.set_yscale('log')
    _widths(axes, widths)


def _widths(axes, widths):
    """Widths are drawn by their logarithm, and ticks stand at powers of two."""
    axes.set_xscale('log', base=2)
    axes.xaxis.set_major_formatter(ticker.StrMethodFormatter('{x:g}'))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlim(widths[0] / 1.1, widths[-1] * 1.1)

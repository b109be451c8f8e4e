"""Pictures of tickets that are trained where they were not found: a panel per target, and a map of all."""

import textwrap

import numpy as np
from matplotlib.figure import Figure

from tf_lottery.branches import BRANCHES, numbered
from tf_lottery.reporting import pictures, results
from tf_lottery.reporting.pictures.density import density_axis

_SECTION = 'Tickets of other experiments'

# What is drawn of each source, a picture each: the name of the picture, its title, and what its caption says.
_KINDS = {
    'transferred': ('tickets_of_others', 'Tickets of others', 'Masks and weights of others'),
    'transferred_mask': ('masks_of_others', 'Masks of others', 'Masks of others with new weights'),
    'transferred_weights': ('weights_of_others', 'Weights of others', 'Own masks with the weights of others'),
}
# What they are drawn beside.
_BESIDE = ('ticket', 'random_reinit', 'random_mask', 'random_sparse', 'random_global')


def draw(frame, measures, level):
    """Yields the Pictures of targets and sources.

    Args:
      frame: DataFrame of `transfer.Findings`.
      measures: Measures.
      level: int, of the map, or None for no map.
    """
    frame = frame[frame['n'] > 0]
    for kind, (name, title, what) in _KINDS.items():
        shown = frame[frame['branch'].map(lambda branch, kind=kind: branch in _BESIDE or _general(branch) == kind)]
        if len(shown) and shown['branch'].map(_general).eq(kind).any():
            yield pictures.Picture(
                name, _panels(shown, measures), _describe(shown, measures, title),
                f'{what}, beside own tickets and random ones, a panel for each experiment that trains them. '
                f'{measures.lead.heading} at the end of training; lines are means, bands reach from the lowest to the '
                'highest run; an arrow says how far a line goes that leaves the picture. Dashed: the dense network.',
                _SECTION)
    if level is not None:
        rows = frame[(frame['level'] == level) & frame['branch'].map(
            lambda branch: branch in _BESIDE or _general(branch) == 'transferred')]
        if len(rows):
            yield pictures.Picture(
                'transfer_map', _map(rows, measures), _describe_map(rows, measures),
                f'{measures.lead.heading} at the end of training at level {level}: rows are what is trained, '
                'columns whose tickets. Colours say how much better or worse than with its own tickets, as far as the '
                'scale goes.',
                _SECTION)


def _general(branch):
    """The branch without its source: of 'transferred_from_mnist' it is 'transferred'; of others None."""
    origin = BRANCHES[branch].origin
    return branch.removesuffix(f'_from_{origin}') if origin else None


def _panels(frame, measures):
    lead, end = measures.lead, measures.at_end()
    targets = list(dict.fromkeys(frame['target']))
    figure, panels = pictures.panels(len(targets))
    for axes, target in zip(panels, targets, strict=True):
        own = frame[frame['target'] == target]
        drawn = own[['branch', 'level', 'density']].assign(**{
            statistic: lead.scale * own[f'{end}_{statistic}'] for statistic in results.STATISTICS})
        near = drawn[(drawn['branch'] == 'ticket') | drawn['branch'].map(lambda branch: bool(BRANCHES[branch].origin))]
        bottom, top = pictures.focus((near['min'].min(), near['max'].max()), (drawn['min'].min(), drawn['max'].max()))
        dense = drawn[drawn['level'] == 0]
        for number, branch in enumerate(numbered(frame['branch'])):
            rows = drawn[drawn['branch'] == branch]
            if rows.empty:
                continue
            rows = rows.assign(density=100 * rows['density'])
            look = pictures.look(number)
            axes.fill_between(rows['density'], rows['min'], rows['max'], color=look['color'], alpha=0.1, linewidth=0)
            axes.plot(rows['density'], rows['mean'], **look, label=BRANCHES[branch].title,
                      zorder=3 if BRANCHES[branch].origin else 2)
            if rows['mean'].min() < bottom:
                axes.text(rows['density'].iloc[-1], bottom, f'↓ {rows["mean"].min():.{pictures.decimals(lead)}f}',
                          color=look['color'], fontsize=8.5, ha='right', va='bottom')
        for mean in dense['mean']:
            axes.axhline(mean, color=pictures.GREY, linestyle='--', linewidth=1.2, zorder=1, label='Dense network')
        pictures.entitle(axes, f'On {target}', lead.axis())
        density_axis(axes, own['density'])
        pictures.room(axes, bottom, top, lead.digits)
    panels[-1].set_xlabel('weights remaining (%)')
    pictures.branch_legend(figure, panels)
    return figure


def _describe(frame, measures, title):
    lead, column, parts = measures.lead, f'{measures.at_end()}_mean', []
    for (target, branch), rows in frame.groupby(['target', 'branch'], sort=False):
        last = rows.iloc[-1]
        parts.append(f'On {target}, {BRANCHES[branch].title}: {lead.with_unit(last[column])} at '
                     f'{results.percent(last["density"])} % of the weights.')
    return ' '.join([f'{title}, {lead.on_test} against the weights remaining.', *parts])


def _cells(rows, measures):
    """The means of a map, and how much better each is than the target's own tickets.

    Returns:
      (DataFrame, array of its shape): a row for each target, a column for each of whose tickets are trained and for
      random ones; a target that is a source, too, has its own tickets there. NaN where there is none.
    """
    taken = {(target, BRANCHES[branch].origin) for target, branch in zip(rows['target'], rows['branch'], strict=True)}
    origins = {origin for _, origin in taken}

    def whose(row):
        target = row['target']
        if row['branch'] == 'ticket':
            return f'of {target}' if target in origins and (target, target) not in taken else 'its own'
        origin = BRANCHES[row['branch']].origin
        return f'of {origin}' if origin else BRANCHES[row['branch']].title

    column = f'{measures.at_end()}_mean'
    named = rows.assign(whose=[whose(row) for row in rows.to_dict('records')])
    random = [BRANCHES[branch].title for branch in numbered(rows['branch']) if branch in _BESIDE[1:]]
    order = sorted(set(named['whose']) - set(random)) + random
    means = named.pivot(index='target', columns='whose', values=column)
    means = means.loc[list(dict.fromkeys(rows['target'])), order]
    own = rows[rows['branch'] == 'ticket'].set_index('target')[column].reindex(means.index)
    return means, measures.lead.scale * means.apply(lambda each: measures.lead.gain(each, own)).to_numpy()


def _map(rows, measures):
    lead = measures.lead
    means, better = _cells(rows, measures)
    there = np.abs(better[np.isfinite(better) & (better != 0)])
    reach = np.median(there) if there.size else 1.0
    figure = Figure(figsize=(5.2, 1.9 + 0.5 * len(means)), layout='constrained')
    axes = figure.subplots()
    axes.imshow(better, cmap='RdBu', vmin=-2 * reach, vmax=2 * reach, aspect='auto')
    for (row, column), mean in np.ndenumerate(means.to_numpy()):
        if np.isfinite(mean):
            dark = abs(better[row, column]) > 1.4 * reach
            axes.text(column, row, lead.shown(mean, pictures.decimals(lead)), ha='center', va='center', fontsize=9,
                      color='white' if dark else pictures.INK)
    axes.set_xticks(range(len(means.columns)), [textwrap.fill(name, 14) for name in means], rotation=45, ha='right',
                    fontsize=8.5)
    axes.set_yticks(range(len(means)), [f'on {target}' for target in means.index])
    axes.grid(visible=False)
    axes.set(title=textwrap.fill(f'{lead.heading} by target and ticket', pictures.TITLE_LETTERS), xlabel='tickets')
    return figure


def _describe_map(rows, measures):
    means, _ = _cells(rows, measures)
    parts = [f'On {target}: ' + ', '.join(
        f'{whose} {measures.lead.with_unit(mean)}' for whose, mean in row.items() if np.isfinite(mean)) + '.'
        for target, row in means.iterrows()]
    return ' '.join([f'{measures.lead.heading} by target and ticket.', *parts])

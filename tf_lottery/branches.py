"""The branches of an experiment: which mask, which weights and which step each one trains from.

Everything that a lottery-ticket paper compares is another choice of the three, so a new branch is a line in BRANCHES.
The functions get the place they are asked about (`place.At`: a level above 0 of a replicate), for level 0 is the
dense network, which all branches share.
"""

import dataclasses
from collections.abc import Callable

from tf_lottery.pruning import criteria, initialisations, updates


def pruned(at):
    """The mask of the level: what the chain's network of the level before ended in, pruned once more."""
    return at.pruned()


def shuffled_within_layers(mask):
    """As many weights in each layer as in another mask, at random places: `mask` is the function that says which.

    Where weights are pruned in groups these are what is shuffled.
    """
    def shuffled(at):
        return at.shuffled(mask(at))

    return shuffled


def pruned_once(at):
    """The trained dense network, pruned once to the density of the level."""
    return at.pruned_once()


def pruned_initially(at):
    """The dense network, pruned before any training to the density of the level: by the branch's `criterion`."""
    return at.pruned_initially()


def shuffled_globally(at):
    """As many weights as in the mask of the level, at random places in all layers (1906.02773, section 3)."""
    return at.shuffled_globally(at.pruned())


def taken_mask(at):
    """The mask that the source of tickets has at the level; all weights where it has none of a shape."""
    return at.taken_mask()


def dense(at):
    """All weights."""
    return at.dense()


def sparse(at):
    """The density of the level at random places, in each layer as `sparse.distribution` says."""
    return at.sparse()


# As many weights in each layer as in the mask of the level (1903.01611, section 3).
shuffled = shuffled_within_layers(pruned)


def initial(at):
    """W_0, the dense network's weights before any training."""
    return at.initial()


def rewound(at):
    """W_k, the dense network's weights at the rewinding step."""
    return at.rewound()


def taken(at):
    """W_k of the source of tickets; where it has none of a shape, this experiment's own weights."""
    return at.taken_weights()


def initialised(at):
    """A new W_0, drawn from the distribution of the old one."""
    return at.new_weights()


def resampled(at):
    """W_k, each survivor drawn anew from those of its layer (1803.03635, appendix F.3)."""
    return initialisations.resampled(at.rewound(), at.pruned(), at.seed)


def resampled_signs(at):
    """W_k, each survivor drawn anew from those of its layer that have its sign."""
    return initialisations.resampled(at.rewound(), at.pruned(), at.seed, keep_signs=True)


def reshuffled(at):
    """W_k, the survivors of each layer permuted (1905.01067, section 3)."""
    return initialisations.reshuffled(at.rewound(), at.pruned(), at.seed)


def reshuffled_signs(at):
    """W_k, of each layer the survivors of each sign permuted."""
    return initialisations.reshuffled(at.rewound(), at.pruned(), at.seed, keep_signs=True)


def initialised_signs(at):
    """A new W_0 with the signs of the old one (1905.01067, section 3)."""
    return initialisations.with_signs(at.new_weights(), at.initial(), at.prunable())


def constant(at):
    """W_0, of each layer all weights at its standard deviation, with random signs (1905.01067, section 3)."""
    return initialisations.constant(at.initial(), at.prunable(), at.seed)


def constant_signs(at):
    """W_0, of each layer all weights at its standard deviation, with their signs: "signed constants"."""
    return initialisations.with_signs(constant(at), at.initial(), at.prunable())


def with_noise(scale):
    """W_k and Gaussian noise of `scale` times each layer's standard deviation in W_0 (1803.03635, appendix F.7)."""
    def noisy(at):
        return initialisations.noisy(at.rewound(), at.initial(), at.prunable(), scale, at.seed)

    return noisy


def trained(at):
    """W_T, the weights that the chain's network of the level before ended in."""
    return at.trained()


def kaiming_constant(at):
    """Each weight of W_0 becomes sqrt(2 / n_in), with its own sign (1911.13299, section 3)."""
    return initialisations.scaled(
        initialisations.kaiming_constant(at.initial(), at.prunable()), at.fan_scale())


def kaiming_normal(at):
    """Each weight is drawn from N(0, 2 / n_in) (1911.13299, section 3)."""
    return initialisations.scaled(
        initialisations.kaiming_normal(at.initial(), at.prunable(), at.seed), at.fan_scale())


def learned(at):
    """The mask that the branch's `source` has learned."""
    return at.source_mask()


def uncovered(at):
    """The weights under the mask that the branch's `source` has learned, as they were there."""
    return at.source_weights()


def frozen_by_direction(at):
    """What pruned weights keep: 0 where training moved them toward zero, else their values in W_0."""
    return initialisations.frozen_by_direction(at.trained(), at.initial(), at.prunable())


# Where training starts: at step 0, at the rewinding step k, or at the end T, from where it goes on for another T - k
# steps at the last learning rate; or it is none, and the subnetwork is evaluated as it starts, at step 0. What is taken
# from a source of tickets may start at that one's k.
BEGINNING, REWINDING_STEP, END, NEVER, TAKEN = 'beginning', 'rewinding step', 'end', 'never', 'taken'


@dataclasses.dataclass(frozen=True)
class Branch:
    """A way to get a subnetwork and its start.

    Attributes:
      title: how tables and pictures call it.
      mask: function from a `place.At` to a Mask.
      weights: function from a `place.At` to a mapping from name to array.
      step: BEGINNING, REWINDING_STEP, END, NEVER or TAKEN.
      chain: the branch whose networks of all lower levels this one is made from; None where the dense network is
        enough.
      copies: the key of the config that says how many of them are trained per ticket; None is one.
      reorders: the branch whose subnetworks are trained once more, on other data orders; None for all other branches.
      criterion: what W_0 is ranked by before any training, a name of `criteria.BEFORE_TRAINING`; None where trained
        weights are ranked, by the config's `pruning.criterion`.
      updates: how the mask changes while the network is trained, one of `updates.RULES`; None where it stays.
      learns: what is learned instead of weights, one of `LEARNED`; None where the weights are.
      rescales: whether the weights under a learned mask are divided by the share of them that it keeps.
      source: the branch at the same level whose result this one starts from; None where there is none.
      frozen: function from a `place.At` to what pruned weights keep for ever, as `Ticket.frozen`; None where they
        are zero.
      transfers: whether it takes from another experiment's tickets: there is one for each of the config's `sources`.
      origin: of that one, the name of the source.
    """

    title: str
    mask: Callable
    weights: Callable
    step: str = REWINDING_STEP
    chain: str | None = 'ticket'
    copies: str | None = None
    reorders: str | None = None
    criterion: str | None = None
    updates: str | None = None
    learns: str | None = None
    rescales: bool = False
    source: str | None = None
    frozen: Callable | None = None
    transfers: bool = False
    origin: str | None = None

    @property
    def ranks(self):
        """Whether its mask is what a ranking of weights leaves."""
        return self.mask not in (dense, sparse, learned, taken_mask)

    @property
    def loose(self):
        """Whether its mask is of single weights, whatever `pruning.structure` says."""
        return self.mask in (dense, sparse, learned, shuffled_globally)


def _sparse(title, mask, rule=None):
    """A branch of a network that comes to the density of the level while it is trained, or starts at it."""
    return Branch(title, mask, initial, BEGINNING, chain=None, updates=rule)


# What may be learned instead of weights: `training.learned_masks` has the rules.
SUPERMASK, EDGE_POPUP = LEARNED = ('supermask', 'edge_popup')


def _learned(title, rule, weights, rescales=False):
    """A branch of a network whose weights are never trained, but which of them are kept."""
    return Branch(title, dense, weights, BEGINNING, chain=None, learns=rule, rescales=rescales)


def _trained_on(title, source):
    """A branch that trains the weights which another one has found and left as they were."""
    return Branch(title, learned, uncovered, BEGINNING, chain=None, source=source)


def _before_training(criterion):
    """The branches of a network that is pruned before it is trained, and of what that is compared with.

    It is trained from W_0 and step 0, wherever tickets are rewound to. The controls have its number of weights in each
    layer, but not its weights in these places (2009.08576, 2009.11094), or a new W_0.
    """
    title = criteria.BEFORE_TRAINING[criterion].title
    own = Branch(title, pruned_initially, initial, BEGINNING, chain=None, criterion=criterion)
    return {
        criterion: own,
        f'{criterion}_shuffled': dataclasses.replace(
            own, title=f'{title}, shuffled', mask=shuffled_within_layers(pruned_initially)),
        f'{criterion}_reinit': dataclasses.replace(own, title=f'{title}, reinitialised', weights=initialised),
    }


class _Branches(dict):
    """Branches by their names; that of each source of tickets too, as 'transferred_from_mnist' of 'transferred'."""

    def __missing__(self, name):
        general, _, origin = name.partition(_FROM)
        branch = self.get(general)
        if not (branch and branch.transfers and origin):
            raise KeyError(name)
        return dataclasses.replace(branch, title=f'{branch.title} from {origin}', origin=origin)


_FROM = '_from_'


def from_source(name, source):
    """The name of a branch that transfers, of one source."""
    return f'{name}{_FROM}{source}'


def numbered(names):
    """Branches in the order in which they are shown, each with a number that tells its look: dict from name to int.

    Args:
      names: of branches, each any number of times; those of several sources are in the order of the sources' names.
    """
    origins = sorted({BRANCHES[name].origin for name in names} - {None})
    # Those that transfer come last, so that behind them there is room for further sources.
    several = sum(branch.transfers for branch in BRANCHES.values())
    numbers = {name: list(BRANCHES).index(name.partition(_FROM)[0]) for name in set(names)}
    numbers |= {name: number + several * origins.index(BRANCHES[name].origin)
                for name, number in numbers.items() if BRANCHES[name].origin}
    return dict(sorted(numbers.items(), key=lambda item: item[1]))


BRANCHES = _Branches({
    # IMP with rewinding: 1903.01611, section 2; with k = 0 it is 1803.03635, section 2.
    'ticket': Branch('Winning ticket', pruned, rewound),
    # 1803.03635, section 2.
    'random_reinit': Branch('Random reinitialisation', pruned, initialised, BEGINNING, copies='reinits'),
    # 1903.01611, section 3.
    'random_mask': Branch('Random mask', shuffled, rewound),
    # 1803.03635, appendix E.
    'random_sparse': Branch('Random sparse', shuffled, initialised, BEGINNING),
    # 1803.03635, Figure 4.
    'one_shot': Branch('One-shot', pruned_once, rewound, chain=None),
    'one_shot_reinit': Branch('One-shot, reinitialised', pruned_once, initialised, BEGINNING, chain=None,
                              copies='reinits'),
    # Han et al., 1506.02626; as long as a ticket's training, as in Renda et al., 2003.02389.
    'fine_tuning': Branch('Fine-tuning', pruned, trained, END, chain='fine_tuning'),
    # Renda et al., 2003.02389.
    'lr_rewinding': Branch('Learning-rate rewinding', pruned, trained, chain='lr_rewinding'),
    # Strategy 2 of 1803.03635's appendix B: prune while training goes on, which is fine-tuning, and reset at the end.
    'continued_training': Branch('Continued training', pruned, rewound, chain='fine_tuning'),
    # 1803.03635, appendix F.3.
    'resampled': Branch('Resampled initialisation', pruned, resampled),
    'resampled_signs': Branch('Resampled, signs kept', pruned, resampled_signs),
    # 1803.03635, appendix F.4.
    'initial_magnitude': Branch('Initial magnitude', pruned_initially, rewound, chain=None,
                                criterion='initial_magnitude'),
    # 1803.03635, appendix F.7.
    'noise_0.5': Branch('Noise of 0.5 sigma', pruned, with_noise(0.5)),
    'noise_1': Branch('Noise of 1 sigma', pruned, with_noise(1)),
    'noise_2': Branch('Noise of 2 sigma', pruned, with_noise(2)),
    'noise_3': Branch('Noise of 3 sigma', pruned, with_noise(3)),
    # 1903.01611, section 3, stability to data order; 1912.05671, section 2, instability to SGD noise.
    'ticket_reordered': Branch('Winning ticket, other data orders', pruned, rewound, copies='data_orders',
                               reorders='ticket'),
    'random_mask_reordered': Branch('Random mask, other data orders', shuffled, rewound, copies='data_orders',
                                    reorders='random_mask'),
    # Lee et al., 1810.02340.
    **_before_training('snip'),
    # Wang et al., 2002.07376.
    **_before_training('grasp'),
    # Tanaka et al., 2006.05467.
    **_before_training('synflow'),
    # Zhou et al., 1905.01067, section 3: what becomes of the weights that stay.
    'random_reinit_signs': Branch('New draws, signs kept', pruned, initialised_signs, BEGINNING, copies='reinits'),
    'reshuffled': Branch('Reshuffled', pruned, reshuffled),
    'reshuffled_signs': Branch('Reshuffled, signs kept', pruned, reshuffled_signs),
    'constant': Branch('Constants, random signs', pruned, constant, BEGINNING),
    'constant_signs': Branch('Signed constants', pruned, constant_signs, BEGINNING),
    # Section 4: what becomes of the weights that go.
    'frozen': Branch('Frozen at W_0', pruned, rewound, chain='frozen', frozen=initial),
    'frozen_by_direction': Branch('Frozen by direction', pruned, rewound, chain='frozen_by_direction',
                                  frozen=frozen_by_direction),
    # Section 5: a mask alone.
    'untrained': Branch('Ticket, never trained', pruned, initial, NEVER),
    'untrained_constant': Branch('Constants, never trained', pruned, constant_signs, NEVER),
    # Zhu & Gupta, 1710.01878.
    'gradual': _sparse('Gradual pruning', dense, updates.GRADUAL),
    # What the two below are compared with in 1911.11134.
    'static': _sparse('Static sparse', sparse),
    # Mocanu et al., 1707.04780.
    'set': _sparse('SET', sparse, updates.SET),
    # Evci et al., 1911.11134.
    'rigl': _sparse('RigL', sparse, updates.RIGL),
    # Zhou et al., 1905.01067, section 5.
    'supermask': _learned('Supermask', SUPERMASK, initial),
    'supermask_constant': _learned('Supermask, S.C.', SUPERMASK, constant_signs),
    'supermask_rescaled': _learned('Supermask, DWR', SUPERMASK, initial, rescales=True),
    'supermask_rescaled_constant': _learned('Supermask, S.C., DWR', SUPERMASK, constant_signs, rescales=True),
    'supermask_trained': _trained_on('Supermask, trained', 'supermask'),
    # Ramanujan et al., 1911.13299.
    'edge_popup': _learned('Edge-popup', EDGE_POPUP, kaiming_constant),
    'edge_popup_normal': _learned('Edge-popup, normal', EDGE_POPUP, kaiming_normal),
    'edge_popup_trained': _trained_on('Edge-popup, trained', 'edge_popup'),
    # Morcos et al., 1906.02773, section 3: mask and weights at random, the mask over the whole network.
    'random_global': Branch('Random ticket, global', shuffled_globally, initialised, BEGINNING),
    # Section 4: tickets of another data set or another optimizer, and each half of them.
    'transferred': Branch('Transferred', taken_mask, taken, TAKEN, chain=None, transfers=True),
    'transferred_mask': Branch('Mask', taken_mask, initialised, BEGINNING, chain=None, transfers=True),
    'transferred_weights': Branch('Weights', pruned, taken, TAKEN, transfers=True),
})

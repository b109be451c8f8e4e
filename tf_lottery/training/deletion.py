"""What deleting weights does to the loss: as their saliencies predict it, and as it is.

Source: LeCun et al. 1990, "Optimal Brain Damage", whose figures compare the two.
"""

import numpy as np

from tf_lottery.pruning.criteria import Layer, magnitude, obd

# Shares of the weights that are deleted: 0, 2.5 %, ..., all.
PLACES = 41


def measure(derivatives, weights, names, stop=None):
    """Deletes the weights of a trained network in the order of their saliencies, and of their magnitudes.

    Args:
      derivatives: training.derivatives.Derivatives, whose sample of examples all losses are of.
      weights: mapping from the name of each of the network's variables to an array.
      names: the prunable weights that are deleted, ranked over the whole network.
      stop: function that returns an exception to raise before the next loss, or None to go on; or None. Of several
        workers it tells all alike.

    Returns:
      dict of lists of float with a value per place: `deleted`, the share of these weights that is zero; `predicted`,
      the loss of the whole network and the sum of the saliencies h w^2 / 2 of what is deleted; `actual`, the loss; and
      `by_magnitude`, the loss where as many weights of the lowest magnitudes are deleted.
    """
    curvature = derivatives.curvature(weights)
    layers = {name: Layer(weights[name].ravel(), curvature=curvature[name].ravel()) for name in names}
    saliencies = np.concatenate([obd(layer) for layer in layers.values()])
    magnitudes = np.concatenate([magnitude(layer) for layer in layers.values()])
    order, other = (np.argsort(scores, kind='stable') for scores in (saliencies, magnitudes))
    counts = np.linspace(0, len(order), PLACES).round().astype(int)
    grown = np.concatenate([[0.0], np.cumsum(saliencies[order], dtype=np.float64)])
    found = {'deleted': (counts / len(order)).tolist(), 'predicted': [], 'actual': [], 'by_magnitude': []}
    for count in counts:
        stopping = stop() if stop else None
        if stopping:
            raise stopping
        for key, places in (('actual', order), ('by_magnitude', other)):
            found[key].append(derivatives.loss(_without(weights, names, places[:count])))
    found['predicted'] = (found['actual'][0] + grown[counts]).tolist()
    return found


def _without(weights, names, places):
    """The weights with zeros at some places of those of some names, counted through all of them."""
    kept = np.ones(sum(weights[name].size for name in names), bool)
    kept[places] = False
    parts = np.split(kept, np.cumsum([weights[name].size for name in names])[:-1])
    return {**weights, **{name: np.where(part.reshape(weights[name].shape), weights[name], np.zeros_like(weights[name]))
                          for name, part in zip(names, parts, strict=True)}}

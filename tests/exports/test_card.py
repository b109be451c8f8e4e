"""The README.md of an export."""

import pathlib
import types

import numpy as np
import pytest

from tf_lottery import data
from tf_lottery.exports import card
from tf_lottery.tasks import image_serving
from tf_lottery.tasks.measure import ACCURACY, Measure
from tf_lottery.tasks.task import Words

# What ticket.json says of a run, whatever its task.
RUN = {
    'what': 'the ticket trained to the end, step 40', 'weights': 'trained', 'run': 'replicate_0/level_03/ticket',
    'branch': 'ticket', 'level': 3, 'density': 0.516, 'kept': 25919, 'prunable': 50200,
    'density_by_layer': {'fc1/kernel': 0.512},
    'replicates': 2, 'test': 10_000, 'input': 'inputs: float32 [n, 3]', 'output': 'outputs: float32 [n, 1]',
    'config': {'pruning': {'fraction': 0.2, 'scope': 'layerwise', 'rewind_to': '0it'},
               'training': {'length': '40it', 'optimizer': 'adam', 'learning_rate': 0.0012, 'batch_size': 60,
                            'precision': 'mixed_bfloat16'}},
    'versions': {'python': '3.11.7', 'tensorflow': '2.21.0'}, 'command': 'python main.py --mode=export',
    'trained_by': 'python main.py', 'examples': 1000, 'forms': ['saved_model', 'tflite_int8'], 'latency': [],
    'predictions_changed': {}, 'int8_errors': {}, 'zeros_unseen': {}, 'fixed_batch': {}, 'keras_reads': True,
    'shrunk': {}, 'sizes': {
        'dense tflite_int8': {'weights': 50200, 'kept': 50200, 'raw': 60000, 'gzipped': 50000},
        'tflite_int8': {'weights': 50200, 'kept': 25919, 'raw': 60000, 'gzipped': 30000, 'bound': 30000}}}
ERROR = Measure('rmse', 'RMS error', 'mm', 10.0, digits=1)


def test_the_card_of_an_image_classifier_is_what_it_has_always_been(monkeypatch):
    few = data.Split(np.zeros((2, 28, 28, 1), np.uint8), np.zeros(2, np.int32))
    monkeypatch.setattr(data, 'examples', lambda *arguments: (few, few))
    serving = image_serving.serving(
        types.SimpleNamespace(name='mnist'), 'lenet_300_100', data.describe('mnist'), 5_000)
    about = {**RUN, **serving.described, 'test_accuracy': 0.9386,
             'accuracy_over_replicates': {'dense': [0.925, 0.92, 0.93], 'ticket': [0.94, 0.9386, 0.9414]},
             'predictions_changed': {'tflite_int8': 5}, 'litert_accuracy': {'tflite_int8': 0.9379}}
    expected = pathlib.Path(__file__).with_name('image_card.md').read_text()
    assert card.write(about, serving.words, ACCURACY) == expected


def test_any_measure_is_told_in_its_own_words():
    about = {**RUN, 'test': 1000, 'test_rmse': 0.125, 'rmse_over_replicates': {'dense': [0.1, 0.25, 3.0]},
             'litert_rmse': {'tflite_int8': 0.25}, 'int8_errors': {'tflite_int8': {'outputs': 0.02}}}
    found = card.write(about, Words(), ERROR)
    assert '\n\n## RMS error\n\nOn the 1,000 test examples: 1.2 mm.\n\nAt the end of training, over 2 ' in found
    assert '\n| dense network | 1.0 mm | 2.5 mm | 30.0 mm |\n' in found
    assert '3% may be. Its RMS error on them is 2.5 mm.\n' in found
    assert '`serving_default` takes inputs: float32 [n, 3], and returns outputs: float32 [n, 1].\n\n' in found
    assert '\n\nIterative magnitude pruning, 20%' in found
    assert '\n\n- The level was chosen by means of the test RMS error that is reported above' in found
    assert 'ccuracy' not in found and 'image' not in found


def test_the_card_says_what_weights_were_ranked_by():
    about = {**RUN, 'config': {**RUN['config'], 'pruning': {**RUN['config']['pruning'], 'criterion': 'obd'}},
             'test': 1000, 'test_rmse': 0.125, 'rmse_over_replicates': {'dense': [0.1, 0.25, 3.0]}}
    assert '\n\nIterative pruning by Optimal Brain Damage, 20%' in card.write(about, Words(), ERROR)


def test_the_card_says_what_was_pruned_as_one():
    pruning = {**RUN['config']['pruning'], 'structure': 'channels'}
    about = {**RUN, 'config': {**RUN['config'], 'pruning': pruning}, 'rmse_over_replicates': {}}
    assert ('\n\nIterative magnitude pruning (whole channels, by their mean score), 20% of the surviving '
            'channels per level, layerwise, rewound to 0it;') in card.write(about, Words(), ERROR)
    pruning['structure'] = '2:4'
    assert '\n\nIterative magnitude pruning (2 of each 4 weights), 20% of the surviving weights' in card.write(
        about, Words(), ERROR)


def test_forms_are_compared_with_the_dense_network_in_their_own_runtime():
    seconds = {'dense': {'1': 2e-4, '32': 4e-3}, 'tflite': {'1': 1e-4, '32': 1e-3}, 'tflite_int8': {'1': 4e-4}}
    found = card.write({**RUN, 'rmse_over_replicates': {}, 'latency': [{'runtime': 'LiteRT', 'seconds': seconds}]},
                       Words(), ERROR)
    assert '''
| runtime | form | batch 1 | times as fast | batch 32 | times as fast |
|---|---|---|---|---|---|
| LiteRT | dense | 200 | 1.00 | 4,000 | 1.00 |
| LiteRT | TFLite | 100 | 2.00 | 1,000 | 4.00 |
| LiteRT | TFLite int8 | 400 | 0.50 |  |  |
''' in found


@pytest.mark.parametrize('spread', [{}, {'ticket': [0.1, 0.1, 0.1]}])
def test_what_outputs_do_not_tell_is_left_out(spread):
    found = card.write({**RUN, 'rmse_over_replicates': spread}, Words(), ERROR)
    assert 'On the first' not in found and ' on them is ' not in found
    assert ('## RMS error\n\nAt the end of training' in found) == ('is reported above' in found) == bool(spread)


@pytest.mark.parametrize(('changes', 'said'), [
    ({}, 'with adam, learning rate 0.0012, batches of 60, mixed_bfloat16. The'),
    ({'task': 'rain.py:task'}, 'with adam, learning rate 0.0012, batches of 60. The'),
    ({'task': 'rain.py:task', 'training': {**RUN['config']['training'], 'optimizer': 'own'}},
     'with the optimizer that the model was compiled with, batches of 60. The')])
def test_it_says_how_the_ticket_was_trained(changes, said):
    found = card.write({**RUN, 'rmse_over_replicates': {}, 'config': {**RUN['config'], **changes}}, Words(), ERROR)
    assert f'40it of training per level {said} whole config is in `ticket.json`.' in found

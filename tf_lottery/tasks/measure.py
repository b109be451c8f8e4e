"""What a network is judged by; a description travels with every result, so that nobody asks what task it is of."""

import dataclasses
import math

# The split that networks are compared on, and the one by which they are chosen.
TEST, VALIDATION = 'test', 'validation'


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number that says how well a network does on a split.

    Attributes:
      name: str, what it is called in files: the rows of metrics.csv hold `validation_<name>` and `test_<name>`.
      title: str, what it is called in tables and pictures, in lower case.
      unit: str, of what is shown; '' for none.
      scale: float, by which values are multiplied to be shown in the unit.
      higher: bool, whether higher is better.
      digits: int, the decimals that are shown.
      best: float, the value of a network without fault, where higher is better and there is one; else None.
      stable, matching: float, by how much a line between two copies may be worse than its ends, and a ticket than the
        dense network, to be called so (1912.05671, section 2); None where no paper says.
      ends: bool, whether it is measured at the end of training only, for it takes long; at early stop nobody knows it.
      how: str, how it is computed where that is no matter of course, '' where it is.
      taken_of: str, which part of training it is taken of, '' where it is measured on a split. Folders of before do not
        have it, and are of the same experiment.
    """

    name: str
    title: str
    unit: str = ''
    scale: float = 1.0
    higher: bool = False
    digits: int = 4
    best: float | None = None
    stable: float | None = None
    matching: float | None = None
    ends: bool = False
    how: str = ''
    taken_of: str = dataclasses.field(default='', compare=False)

    @property
    def on_test(self):
        """str, its title on the test set, such as 'test accuracy'; its title alone where it is of training."""
        return self.title if self.taken_of else f'test {self.title}'

    @property
    def heading(self):
        """str, `on_test` as titles and sentences begin with it."""
        return self.on_test[0].upper() + self.on_test[1:]

    @property
    def points(self):
        """str, the unit of differences: of percentages, points."""
        return 'points' if self.unit == '%' else self.unit

    def shown(self, value, digits=None):
        """A value as people read it, without the unit.

        Args:
          value: float.
          digits: int, decimals; None for the measure's own.
        """
        value, digits = self.scale * value, self.digits if digits is None else digits
        # A loss may be so small that decimals say nothing of it; what has a unit is near to it.
        small = not self.unit and digits > 1 and 0 < abs(value) < 10 ** (1 - digits)
        return f'{value:.{digits}{"g" if small else "f"}}'

    def with_unit(self, value, digits=None):
        """A value as people read it, such as '98.21 %'."""
        return f'{self.shown(value, digits)} {self.unit}'.rstrip()

    def axis(self, title=None):
        """What stands at an axis or above a column: `title`, or the measure's own one on the test set, and the unit."""
        title = self.on_test if title is None else title
        return f'{title} ({self.unit})' if self.unit else title

    def gain(self, value, reference):
        """How much better than a reference a value is; negative where it is worse. Floats, arrays or pandas Series."""
        return value - reference if self.higher else reference - value

    def error(self, value):
        """What a value lacks, so that lower is better: 1 - value of an accuracy, and the value where lower is better.

        Of a measure of which more is better without end, such as a reward, it is the value with the other sign.
        """
        if not self.higher:
            return value
        return -value if self.best is None else self.best - value

    @property
    def error_title(self):
        """str, what `error` is called."""
        if not self.higher:
            return self.title
        return f'negative {self.title}' if self.best is None else 'error'

    @property
    def worse(self):
        """str, what a network of a worse value is called."""
        return 'less accurate' if self.title.endswith('accuracy') else 'worse'

    def no_worse(self):
        """str, such as 'no less accuracy': what a winning ticket has."""
        return f'no {"less" if self.higher else "more"} {self.title}'


# The scalar that is minimised is measured in every task.
LOSS = Measure('loss', 'loss')


@dataclasses.dataclass(frozen=True)
class Measures:
    """All that the networks of a task are judged by.

    Attributes:
      each: tuple of Measure, one or more; the first one leads the report.
      early_stop: str, the measure whose best value on the validation set is the early stop, by its column in
        metrics.csv, such as 'validation_loss'; None where there is no early stop.
      early_stop_higher: bool, whether higher is better there.
      courses: tuple of (column of metrics.csv, title), what learning curves are drawn against.
    """

    each: tuple
    early_stop: str | None = 'validation_loss'
    early_stop_higher: bool = False
    courses: tuple = (('step', 'training step'),)

    @property
    def lead(self):
        return self.each[0]

    @property
    def columns(self):
        """What is compared between networks: names of columns of `results.load_results`, the leading measure's first.

        The early-stop step, and each measure on the test set at early stop and at the end of training.
        """
        early = ('early_stop_step',) if self.early_stop else ()
        return tuple(dict.fromkeys((*early, *(name for measure in self.each for name in (
            *((self.at_early_stop(measure),) if self.early_stop else ()), self.at_end(measure))))))

    @property
    def on_the_way(self):
        """The first Measure that is known whenever a network is evaluated: the leading one, if it is."""
        return next(measure for measure in (*self.each, LOSS) if not measure.ends)

    def at_early_stop(self, measure=None):
        """The column of a measure, or of the leading one, on the test set at early stop, or at the end if it is known
        only there."""
        measure = measure or self.lead
        return self.at_end(measure) if measure.ends else f'early_stop_{TEST}_{measure.name}'

    def at_end(self, measure=None, split=TEST):
        """The column of a measure, or of the leading one, on a split at the end of training."""
        return f'final_{split}_{(measure or self.lead).name}'

    def measure(self, column):
        """The Measure that a column of `columns` holds; None for the early-stop step."""
        return next((measure for measure in self.each if column.endswith(f'_{TEST}_{measure.name}')), None)

    @property
    def early_stop_title(self):
        """str, such as 'validation loss'; None where there is no early stop."""
        if self.early_stop is None:
            return None
        split, _, name = self.early_stop.partition('_')
        measure = next(each for each in (*self.each, LOSS) if each.name == name)
        return f'{split} {measure.title}'

    @property
    def early_stop_extreme(self):
        """(str, str): ('minimum', 'lowest'), or ('maximum', 'highest') where higher is better."""
        return ('maximum', 'highest') if self.early_stop_higher else ('minimum', 'lowest')

    def find_early_stop(self, rows):
        """The row of the best validation measure, the first of equal ones; None where there is none that is finite.

        Source: 1803.03635, section 2: found afterwards; networks always train in full.
        """
        if self.early_stop is None:
            return None
        finite = [row for row in rows if math.isfinite(row[self.early_stop])]
        sign = -1 if self.early_stop_higher else 1
        return min(finite, key=lambda row: sign * row[self.early_stop], default=None)

    def to_json(self):
        """A dict that JSON can hold; `from_json` reads it."""
        return {'each': [dataclasses.asdict(measure) for measure in self.each], 'early_stop': self.early_stop,
                'early_stop_higher': self.early_stop_higher, 'courses': self.courses}

    @classmethod
    def from_json(cls, stored):
        """The inverse of `to_json`; None, of results older than it, is CLASSIFICATION, and others may lack courses."""
        if stored is None:
            return CLASSIFICATION
        return cls(tuple(Measure(**measure) for measure in stored['each']), stored['early_stop'],
                   stored['early_stop_higher'],
                   tuple(map(tuple, stored['courses'])) if 'courses' in stored else cls.courses)


# 1912.05671, section 2: stable below 2 points of error on the line, matching at most 0.2 points below the full network.
ACCURACY = Measure('accuracy', 'accuracy', '%', 100.0, True, 2, 1.0, stable=0.02, matching=0.002)
CLASSIFICATION = Measures((ACCURACY,))

"""Which replicates a job trains: several jobs may work in one experiment's folder, and no two on one replicate."""

import contextlib

from tf_lottery.errors import HeldError
from tf_lottery.experiment import runs
from tf_lottery.runtime import locks, storage


class Claims:
    """The replicates that this job takes, one after the other, each locked while it is trained.

    A replicate is what is claimed as a whole: within it nearly every training starts from what an earlier one ended in.
    A context manager, which lets go at its end.

    Args:
      workdir: the experiment's folder.
      protocol: config.Protocol.
      replicate: int, the only one to take; None for any.

    Attributes:
      replicate: int, the one that it holds; or None.
    """

    def __init__(self, workdir, protocol, replicate=None):
        self._workdir, self._protocol = workdir, protocol
        self._mine = range(protocol.config.replicates) if replicate is None else (replicate,)
        # Each is taken once: when it is let go, it is finished.
        self._taken = set()
        # The files of each replicate when this job began.
        self._listed = {}
        self._lock, self._check = contextlib.ExitStack(), None
        self.replicate = None

    def __enter__(self):
        for replicate in self._mine:
            self._listed[replicate] = runs.listing(self._workdir, replicate)
            runs.remove_leftovers(self._workdir, self._listed[replicate])
        return self

    def __exit__(self, *error):
        self._let_go()

    def _let_go(self):
        self._lock.close()
        self.replicate = self._check = None

    def take(self):
        """Lets go of what it holds and takes the next unfinished replicate that nobody holds: int, or None."""
        self._let_go()
        for replicate in self._mine:
            if replicate in self._taken or runs.is_finished(self._workdir, self._protocol, replicate):
                continue
            try:
                self._check = self._lock.enter_context(locks.lock(self._folder(replicate)))
            except HeldError:
                continue
            # Another job may have finished it before it was locked.
            if not runs.is_finished(self._workdir, self._protocol, replicate):
                self._taken.add(replicate)
                self.replicate = replicate
                return replicate
            self._let_go()
        return None

    def check(self):
        """Raises StorageError if the replicate that it holds was lost to another job; see `locks.lock`."""
        self._check()

    def ahead(self):
        """The trainings of the replicate that it holds, and of those that are free for it: list of runs.Run.

        Of the latter some may have been done since this job began.
        """
        held = runs.pending(self._workdir, self._protocol, self.replicate)
        todo = {replicate: runs.unlisted(runs.wanted(self._protocol, replicate), listed)
                for replicate, listed in self._listed.items() if replicate not in self._taken}
        return held + [run for replicate, those in todo.items()
                       if those and not locks.owner(self._folder(replicate)) for run in those]

    def left(self):
        """The replicates that are not finished and that this job did not take: {int: who trains it, or None}."""
        return {replicate: locks.owner(self._folder(replicate)) for replicate in range(self._protocol.config.replicates)
                if replicate not in self._taken and not runs.is_finished(self._workdir, self._protocol, replicate)}

    def _folder(self, replicate):
        return storage.join(self._workdir, runs.replicate_folder(replicate))


def holders(workdir, protocol):
    """Who trains which replicate: {int: str}."""
    owners = {replicate: locks.owner(storage.join(workdir, runs.replicate_folder(replicate)))
              for replicate in range(protocol.config.replicates)}
    return {replicate: owner for replicate, owner in owners.items() if owner}

"""Whether a user may read a file, from its mode bits."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class User:
    """A user as the kernel sees it. Access control lists are not looked at."""

    name: str
    uid: int
    groups: frozenset[int]

    @classmethod
    def current(cls) -> User:
        """The user of this process, by its effective ids."""
        uid = os.geteuid()
        return cls(_name_of(uid), uid, frozenset([os.getegid(), *os.getgroups()]))

    @classmethod
    def named(cls, name: str) -> User:
        """The user with a name, or a number that has no name.

        Raises:
            LookupError: there is no such user.
        """
        import pwd

        try:
            entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
        except KeyError:
            if name.isdecimal():
                return cls(name, int(name), frozenset())
            raise LookupError(f"there is no user {name!r} on this machine") from None
        groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
        return cls(entry.pw_name, entry.pw_uid, frozenset(groups))

    def _may(self, status: os.stat_result, bits: int) -> bool:
        if self.uid == 0:
            return True
        if status.st_uid == self.uid:
            return (status.st_mode >> 6) & bits == bits
        if status.st_gid in self.groups:
            return (status.st_mode >> 3) & bits == bits
        return status.st_mode & bits == bits

    def may_read(self, status: os.stat_result) -> bool:
        """Whether the user may read this file."""
        return self._may(status, 4)

    def may_search(self, status: os.stat_result) -> bool:
        """Whether the user may list this directory and open what is in it."""
        return self._may(status, 5)

    def may_pass(self, status: os.stat_result) -> bool:
        """Whether the user may open what is in this directory, knowing its name."""
        return self._may(status, 1)

    def barriers(self, path: str) -> Iterator[str]:
        """Yield the directories above ``path`` that the user may not pass."""
        while (parent := os.path.dirname(path)) != path:
            path = parent
            status = os.stat(path)
            if stat.S_ISDIR(status.st_mode) and not self.may_pass(status):
                yield path


def _name_of(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

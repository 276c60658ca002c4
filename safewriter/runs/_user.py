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
        import pwd

        uid = os.geteuid()
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = str(uid)
        return cls(name, uid, frozenset([os.getegid(), *os.getgroups()]))

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

    def may(self, access: int, status: os.stat_result) -> bool:
        """Whether the user has this access: ``os.R_OK``, or for a directory ``os.X_OK`` as well."""
        if self.uid == 0:
            return True
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid in self.groups else 0
        return (status.st_mode >> shift) & access == access

    def barriers(self, path: str) -> Iterator[str]:
        """Yield the directories above ``path`` that the user may not pass."""
        while (parent := os.path.dirname(path)) != path:
            path = parent
            status = os.stat(path)
            if stat.S_ISDIR(status.st_mode) and not self.may(os.X_OK, status):
                yield path

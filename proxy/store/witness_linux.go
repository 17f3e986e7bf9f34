package store

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// The locks are those of open file descriptions: the ones of POSIX end when a process
// closes any descriptor of the file, and are not seen by another store in the same
// process (https://man7.org/linux/man-pages/man2/F_OFD_SETLK.2const.html).

// lockByte locks one byte of a file for as long as it is open, and tells which file that
// is: no other one has its inode while somebody has it open.
func lockByte(file *os.File, place int64) (inode uint64, err error) {
	lock := byteLock(place)
	if err := unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		return 0, err
	}
	var stat unix.Stat_t
	err = unix.Fstat(int(file.Fd()), &stat) //nolint:gosec // G115: a descriptor
	return stat.Ino, err
}

// byteIsFree reports that nobody else has a lock on a byte.
func byteIsFree(file *os.File, place int64) bool {
	lock := byteLock(place)
	err := unix.FcntlFlock(file.Fd(), unix.F_OFD_GETLK, &lock)
	return err == nil && lock.Type == unix.F_UNLCK
}

func byteLock(place int64) unix.Flock_t {
	return unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: place, Len: 1}
}

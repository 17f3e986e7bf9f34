package store

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// The locks are those of open file descriptions: the ones of POSIX end when a process
// closes any descriptor of the file, and are not seen by another store in the same
// process (https://man7.org/linux/man-pages/man2/F_OFD_SETLK.2const.html).

// lockByte locks one byte of a file for as long as it is open.
func lockByte(file *os.File, place int64) error {
	lock := byteLock(place)
	return unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &lock)
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

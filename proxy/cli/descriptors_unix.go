//go:build unix

package cli

import "syscall"

// descriptorLimit is how many files and sockets this process may have open; 0: nobody says.
func descriptorLimit() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return uint64(limit.Cur) //nolint:unconvert // it is an int64 on FreeBSD
}

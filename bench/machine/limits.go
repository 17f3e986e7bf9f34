package machine

import "syscall"

// OpenFiles raises the limit of open files as far as it goes, for us and for the
// processes that we start, and says how far that is.
func OpenFiles() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	limit.Cur = limit.Max
	// The Go runtime raised its own already. That we say so, too, is what hands it on.
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	return int(limit.Cur), nil
}

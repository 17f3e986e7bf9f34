package store

import "syscall"

// renameNew gives a file a name that nobody has: fs.ErrExist if somebody does. It is for file
// systems without links. Other than os.Rename, MoveFile replaces nothing.
func renameNew(from, to string) error {
	source, err := syscall.UTF16PtrFromString(from)
	if err != nil {
		return err
	}
	target, err := syscall.UTF16PtrFromString(to)
	if err != nil {
		return err
	}
	return syscall.MoveFile(source, target)
}

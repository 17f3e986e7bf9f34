package store

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"outrider/proxy/statefile"
)

// witnessName is the file that witnesses lock a byte of. It stays empty: a lock may
// be beyond the end.
const witnessName = "store.alive"

// A witness shows the other processes of this machine that its store is open: by a
// lock on one byte of a file, at a place that it chose by chance, which the system
// gives up when the process ends, in whatever way. So a lease whose holder was killed
// is not waited for.
type witness struct {
	file  *os.File
	inode uint64 // of the file: its name may be another's by now
	place int64
}

// newWitness begins to show it. Where the system, or the file system, has no such locks
// there is none, and leases are waited for to their end.
func newWitness(dir string) (*witness, error) {
	path := filepath.Join(dir, witnessName)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = statefile.Private(path, info.Mode(), "locks")
	}
	if err != nil {
		_ = file.Close() // nothing was written
		return nil, err
	}
	var random [8]byte
	_, _ = rand.Read(random[:])                                // it never fails
	place := int64(binary.LittleEndian.Uint64(random[:]) >> 2) //nolint:gosec // G115: 62 bits
	inode, err := lockByte(file, place)
	if err != nil {
		return nil, file.Close()
	}
	return &witness{file, inode, place}, nil
}

// sign makes a holder's name one that tells where its witness is. A nil witness signs
// nothing.
func (w *witness) sign(holder string) string {
	if w == nil {
		return holder
	}
	return fmt.Sprintf("%s@%d.%d", holder, w.inode, w.place)
}

// gone reports that the process of a holder has ended, or has closed its store. A witness
// in another file, from before somebody removed store.alive, cannot be asked.
func (w *witness) gone(holder string) bool {
	if w == nil {
		return false
	}
	_, text, _ := strings.Cut(holder, "@")
	text, same := strings.CutPrefix(text, strconv.FormatUint(w.inode, 10)+".")
	place, err := strconv.ParseInt(text, 10, 64)
	if !same || err != nil || place == w.place {
		return false
	}
	return byteIsFree(w.file, place)
}

func (w *witness) close() {
	if w != nil {
		_ = w.file.Close() // and with it the lock
	}
}

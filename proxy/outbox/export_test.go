package outbox

import "io"

// Seal and Open are the envelope of a letter.
func Seal(l *Letter) ([]byte, error)               { return l.seal() }
func Open(id string, data []byte) (*Letter, error) { return open(id, data) }

// Mark and Unmark keep a body of unknown length, and read it.
func Mark(r io.Reader, most int64) io.Reader { return &marking{from: r, left: most} }
func Unmark(r io.ReadCloser) io.Reader       { return &unmarked{ReadCloser: r} }

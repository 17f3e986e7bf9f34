package outbox

import "io"

// What follows a body that was kept while it came.
const (
	markWhole  = 'w'
	markBroken = 'b'
)

// marking reads at most left bytes of a body, and then one more that says whether that was
// all. So what is kept of a body that breaks off tells that it did, though its head was
// kept before.
type marking struct {
	from io.Reader
	left int64
	mark byte // follows; 0: there is more of the body
	over bool
}

// Read implements io.Reader. It has no error but io.EOF.
func (m *marking) Read(p []byte) (int, error) {
	switch {
	case m.over:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	case m.mark != 0:
		p[0], m.over = m.mark, true
		return 1, nil
	}
	n, err := m.from.Read(p)
	if int64(n) > m.left {
		n, m.mark = int(m.left), markBroken
	}
	m.left -= int64(n)
	switch {
	case m.mark != 0 || err == nil:
	case err == io.EOF:
		m.mark = markWhole
	default:
		m.mark = markBroken
	}
	return n, nil
}

// unmarked reads what marking has read, without the mark: it holds one byte back.
type unmarked struct {
	io.ReadCloser
	next byte
	has  bool
}

// Read implements io.Reader.
func (u *unmarked) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if !u.has {
		var first [1]byte
		if _, err := io.ReadFull(u.ReadCloser, first[:]); err != nil {
			return 0, unexpected(err)
		}
		u.next, u.has = first[0], true
	}
	n, err := u.ReadCloser.Read(p)
	if n > 0 {
		last := p[n-1]
		copy(p[1:n], p[:n-1])
		p[0], u.next = u.next, last
	}
	if err == io.EOF && u.next != markWhole {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

package framing

import "bytes"

// A phase is what the scanner expects next.
type phase uint8

const (
	inHead     phase = iota // a head; held until complete
	inLength                // body of known length
	inChunk                 // chunk data
	chunkEnd                // CRLF behind chunk data
	chunkLine               // chunk size and extensions; held until complete
	inTrailers              // last chunk line and trailer section; held until complete
	atEnd                   // the request is over; the next one waits for next()
)

// A scanner follows the bytes of one connection, request by request. It holds
// no bytes, only where it stands in those that its caller keeps.
//
// The caller shows it a window, which begins behind the last released byte, and
// grows from call to call until something is released.
type scanner struct {
	limits Limits
	phase  phase
	line   int // where the current line begins, in the window
	seen   int // how far the window was searched for the end of that line
	skip   int // bytes at the window's start that are dropped with its release
	left   int64
	exts   int // bytes of chunk extensions in this body
	head   head
	heads  int // good heads so far
}

// next begins the next request.
func (s *scanner) next() {
	s.phase, s.head, s.exts = inHead, head{}, 0
}

// scan examines window and returns how many of its leading bytes are good and
// may go on. It stops at the end of a request. With an error, the byte behind
// those begins what is refused.
func (s *scanner) scan(window []byte) (n int, err *Error) {
	for n < len(window) && s.phase != atEnd {
		rest := window[n:]
		var good int
		switch s.phase {
		case inHead:
			good, err = s.scanHead(rest)
		case inLength, inChunk:
			good = s.scanData(rest)
		case chunkEnd:
			good, err = s.scanChunkEnd(rest)
		case chunkLine:
			good, err = s.scanChunkLine(rest)
		case inTrailers:
			good, err = s.scanTrailers(rest)
		}
		n += good
		if good == 0 || err != nil {
			return n, err
		}
		s.line, s.seen = 0, 0
	}
	return n, nil
}

// scanHead releases a head when it is complete.
func (s *scanner) scanHead(b []byte) (int, *Error) {
	if !s.head.begun {
		if more, err := s.beginHead(b); more || err != nil {
			return 0, err
		}
	}
	for {
		line, err := s.nextLine(b, s.limits.MaxLine+2)
		switch {
		case err == errLineLong && s.head.begun:
			return 0, errHeadLine
		case err != nil:
			return 0, err
		case s.line > s.limits.MaxHead || line == nil && len(b) > s.limits.MaxHead:
			return 0, errHead
		case line == nil:
			return 0, nil
		case !s.head.begun:
			err = s.head.requestLine(line)
		case len(line) > 0:
			err = s.head.field(line, s.limits.MaxHeaders)
		default:
			return s.endHead()
		}
		if err != nil {
			return 0, err
		}
	}
}

// beginHead looks at the first bytes of a head, and passes over one empty line
// in front of it (RFC 9112 §2.2). It reports whether it needs more bytes.
func (s *scanner) beginHead(b []byte) (more bool, err *Error) {
	if len(b) == s.skip {
		return true, nil
	}
	if err := s.head.first(b[s.skip]); err != nil {
		return false, err
	}
	if b[s.skip] != '\r' {
		return false, nil
	}
	switch {
	case s.head.blank:
		return false, errEmptyLines
	case len(b) == s.skip+1:
		return true, nil
	case b[s.skip+1] != '\n':
		return false, errBareCR
	}
	s.head.blank = true
	s.skip, s.line, s.seen = 2, 2, 2
	return s.beginHead(b)
}

// endHead decides how the body is framed (RFC 9112 §6.3).
func (s *scanner) endHead() (int, *Error) {
	if err := s.head.end(); err != nil {
		return 0, err
	}
	s.heads++
	switch {
	case s.head.chunked:
		s.phase = chunkLine
	case s.head.length > 0:
		s.phase, s.left = inLength, s.head.length
	default:
		s.phase = atEnd
	}
	return s.line, nil
}

// scanData releases bytes of a body or chunk.
func (s *scanner) scanData(b []byte) int {
	if int64(len(b)) < s.left {
		s.left -= int64(len(b))
		return len(b)
	}
	n := int(s.left)
	s.left = 0
	if s.phase == inLength {
		s.phase = atEnd
	} else {
		s.phase = chunkEnd
	}
	return n
}

// nextLine returns the line at s.line without its end, and moves behind it; nil
// if its end is not in b yet. size bounds it, with its end.
func (s *scanner) nextLine(b []byte, size int) ([]byte, *Error) {
	i := bytes.IndexByte(b[s.seen:], '\n')
	if i < 0 {
		s.seen = len(b)
		if len(b)-s.line >= size {
			return nil, errLineLong
		}
		return nil, nil
	}
	begin, end := s.line, s.seen+i
	if end+1-begin > size {
		return nil, errLineLong
	}
	if end == begin || b[end-1] != '\r' {
		return nil, errBareLF
	}
	s.line, s.seen = end+1, end+1
	return b[begin : end-1], nil
}

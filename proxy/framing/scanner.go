package framing

import "bytes"

// A phase is what the scanner expects next.
type phase uint8

const (
	inHead     phase = iota // a head
	inLength                // body of known length
	inChunk                 // chunk data
	chunkEnd                // CRLF behind chunk data
	chunkLine               // chunk size and extensions
	inTrailers              // last chunk line and trailer section
	atEnd                   // the request is over
)

// A Scanner follows the bytes of one request. It holds no bytes, only where it
// stands in those that its caller keeps.
//
// The caller shows it a window, which begins behind the last byte that was
// released, and which grows from call to call until something is released.
// What is released is well-formed; nothing else is.
type Scanner struct {
	limits Limits
	fields []Field
	place
}

// A place is where a scanner stands in a request.
type place struct {
	phase phase
	line  int // where the current line begins, in the window
	seen  int // how far the window was searched for the end of that line
	skip  int // bytes of an empty line in front of the head
	left  int64
	exts  int // bytes of chunk extensions in this body
	head  head
}

// A Field says where a header or trailer field lies in the window that it came
// in: its name, and its value without the whitespace around it.
type Field struct{ Name, NameEnd, Value, ValueEnd int32 }

// Begin turns to the next request.
func (s *Scanner) Begin(limits Limits) {
	s.limits = limits.withDefaults()
	s.fields = s.fields[:0]
	s.place = place{}
}

// Lend gives the scanner room for fields, which it may grow; Fields has it back.
// Without, it makes its own.
func (s *Scanner) Lend(room []Field) { s.fields = room[:0] }

// Fields are those of the head, when Head has released it, and those of the
// trailers, when Frame has released the last bytes of a body.
func (s *Scanner) Fields() []Field { return s.fields }

// A Head says what is known of a head that was released, beside its fields.
type Head struct {
	Method, MethodEnd int // where they lie in the window
	Target, TargetEnd int
	HTTP10            bool
	Chunked           bool
	Length            int64 // of the body; 0 if it has none or is chunked
}

// Begun reports whether any byte of a head is in the window: an empty line in
// front of it is none.
func (s *Scanner) Begun(window []byte) bool { return len(window) > s.skip }

// Refused is the method of a head that was refused, as far as it matters for an
// answer: HEAD, or any other.
func (s *Scanner) Refused(window []byte) (isHead bool) {
	return bytes.HasPrefix(window[min(s.skip, len(window)):], []byte("HEAD "))
}

// Head examines the head of a request. It releases it whole, as the first n
// bytes of the window, and nothing before (n is 0).
func (s *Scanner) Head(window []byte) (n int, bad *Error) {
	if !s.head.begun && (len(window) <= s.skip || classes[window[s.skip]]&token == 0) { // else a method begins
		if more, err := s.beginHead(window); more || err != nil {
			return 0, err
		}
	}
	for {
		line, err := s.nextLine(window, s.limits.MaxLine+2)
		switch {
		case err == errLineLong && s.head.begun:
			return 0, errHeadLine
		case err != nil:
			return 0, err
		case s.line > s.limits.MaxHead || line == nil && len(window) > s.limits.MaxHead:
			return 0, errHead
		case line == nil:
			return 0, nil
		case !s.head.begun:
			err = s.head.requestLine(line)
		case len(line) > 0:
			err = s.headField(line)
		default:
			return s.endHead()
		}
		if err != nil {
			return 0, err
		}
	}
}

// Parts is what a released head says.
func (s *Scanner) Parts() Head {
	h := &s.head
	return Head{
		Method: s.skip, MethodEnd: s.skip + h.method,
		Target: s.skip + h.method + 1, TargetEnd: s.skip + h.method + 1 + h.target,
		HTTP10: h.http10, Chunked: h.chunked, Length: h.length,
	}
}

// Done reports that the request is over. What follows belongs to the next.
func (s *Scanner) Done() bool { return s.phase == atEnd }

// Left is how many bytes of data come next for certain, in front of what Frame is
// to examine.
func (s *Scanner) Left() int64 {
	if s.phase == inLength || s.phase == inChunk {
		return s.left
	}
	return 0
}

// Pass passes over n bytes of data, at most Left.
func (s *Scanner) Pass(n int) {
	if s.left -= int64(n); s.left > 0 {
		return
	}
	if s.phase == inLength {
		s.phase = atEnd
	} else {
		s.phase = chunkEnd
	}
}

// Frame examines what is between the data of a chunked body: chunk lines and
// trailers. It releases the first n bytes of the window, and stops where data
// begins or the request is over. With an error, the byte behind them begins what
// is refused.
func (s *Scanner) Frame(window []byte) (n int, bad *Error) {
	for n < len(window) && s.phase > inChunk && s.phase < atEnd {
		rest := window[n:]
		var good int
		switch s.phase {
		case chunkEnd:
			good, bad = s.scanChunkEnd(rest)
		case chunkLine:
			good, bad = s.scanChunkLine(rest)
		case inTrailers:
			good, bad = s.scanTrailers(rest)
		}
		if good == 0 || bad != nil {
			return n, bad
		}
		s.line, s.seen = 0, 0
		if s.phase == atEnd {
			s.move(n)
		}
		n += good
	}
	return n, nil
}

// move has the trailers' fields count from the start of the whole window.
func (s *Scanner) move(by int) {
	for i := range s.fields {
		f := &s.fields[i]
		f.Name, f.NameEnd, f.Value, f.ValueEnd = f.Name+int32(by), f.NameEnd+int32(by), f.Value+int32(by), f.ValueEnd+int32(by)
	}
}

// beginHead looks at the first bytes of a head, and passes over one empty line
// in front of it (RFC 9112 §2.2). It reports whether it needs more bytes.
func (s *Scanner) beginHead(b []byte) (more bool, err *Error) {
	if len(b) <= s.skip {
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

// headField takes one header line. What is wrong with the line itself is said first.
func (s *Scanner) headField(line []byte) *Error {
	key, val, err := s.field(line)
	switch {
	case err != nil:
		return err
	case len(s.fields) > s.limits.MaxHeaders:
		return errFields
	}
	return s.head.field(key, val)
}

// field splits and checks a field line (RFC 9112 §5), and notes where its parts lie. The value
// is without the whitespace around.
func (s *Scanner) field(line []byte) (key, val []byte, err *Error) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || !all(line[:colon], token) || !isValue(line[colon+1:]) {
		return nil, nil, checkField(line, colon)
	}
	key, val = line[:colon], line[colon+1:]
	from, to := trim(val)
	begin := s.line - len("\r\n") - len(line)
	behind := begin + colon + 1
	s.fields = append(s.fields, Field{int32(begin), int32(begin + colon), int32(behind + from), int32(behind + to)})
	return key, val[from:to], nil
}

// endHead decides how the body is framed (RFC 9112 §6.3).
func (s *Scanner) endHead() (int, *Error) {
	if err := s.head.end(); err != nil {
		return 0, err
	}
	switch {
	case s.head.chunked:
		s.phase = chunkLine
	case s.head.length > 0:
		s.phase, s.left = inLength, s.head.length
	default:
		s.phase = atEnd
	}
	n := s.line
	s.line, s.seen = 0, 0
	return n, nil
}

// nextLine returns the line at s.line without its end, and moves behind it; nil
// if its end is not in b yet. size bounds it, with its end.
func (s *Scanner) nextLine(b []byte, size int) ([]byte, *Error) {
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

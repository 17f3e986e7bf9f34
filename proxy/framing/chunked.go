package framing

import "bytes"

// scanChunkEnd releases the CRLF behind chunk data.
func (s *Scanner) scanChunkEnd(b []byte) (int, *Error) {
	if b[0] != '\r' || len(b) > 1 && b[1] != '\n' {
		return 0, errChunkEnd
	}
	if len(b) == 1 {
		return 0, nil
	}
	s.phase = chunkLine
	return 2, nil
}

// scanChunkLine releases chunk-size [ chunk-ext ] CRLF (RFC 9112 §7.1). The line
// of the last chunk stays held, for the trailer section to be judged with it:
// net/http would hide an error that comes between the two.
func (s *Scanner) scanChunkLine(b []byte) (int, *Error) {
	line, err := s.nextLine(b, maxChunkLine)
	switch {
	case err == errLineLong:
		return 0, errChunkLine
	case err != nil || line == nil:
		return 0, err
	}
	if err := s.chunkSize(line); err != nil {
		return 0, err
	}
	if s.left == 0 {
		s.phase, s.left, s.fields = inTrailers, int64(s.line), s.fields[:0]
		return s.scanTrailers(b)
	}
	s.phase = inChunk
	return s.line, nil
}

// chunkSize takes a chunk line: 1 to 15 hex digits, then extensions.
func (s *Scanner) chunkSize(line []byte) *Error {
	i := 0
	for s.left = 0; i < len(line) && classes[line[i]]&hex != 0; i++ {
		s.left = s.left<<4 | int64(hexValue(line[i]))
	}
	if i == 0 || i > 15 {
		return errChunkSize
	}
	if s.exts += len(line) - i; s.exts > maxExtensions {
		return errChunkExts
	}
	if i < len(line) && line[i] != ';' {
		return errChunkSize
	}
	return checkExtensions(line[i:])
}

func hexValue(b byte) byte {
	if b <= '9' {
		return b - '0'
	}
	return b | 0x20 - 'a' + 10
}

// checkExtensions accepts *( ";" token [ "=" ( token / quoted-string ) ] )
// (RFC 9112 §7.1.1), without whitespace around the marks.
func checkExtensions(b []byte) *Error {
	for len(b) > 0 {
		if b[0] != ';' {
			return errChunkExt
		}
		n := tokenLen(b[1:])
		if n == 0 {
			return errChunkExt
		}
		if b = b[1+n:]; len(b) == 0 || b[0] != '=' {
			continue
		}
		if n = max(tokenLen(b[1:]), quotedLen(b[1:])); n == 0 {
			return errChunkExt
		}
		b = b[1+n:]
	}
	return nil
}

func tokenLen(b []byte) int {
	for i, x := range b {
		if classes[x]&token == 0 {
			return i
		}
	}
	return len(b)
}

// quotedLen returns the length of the quoted-string at the start of b, or 0
// (RFC 9110 §5.6.4).
func quotedLen(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return 0
	}
	for i := 1; i < len(b); i++ {
		switch {
		case b[i] == '"':
			return i + 1
		case b[i] == '\\' && i+1 < len(b) && classes[b[i+1]]&value != 0:
			i++
		case classes[b[i]]&quoted == 0:
			return 0
		}
	}
	return 0
}

// scanTrailers releases the last chunk line with the trailer section behind it.
// s.left is where the section begins.
func (s *Scanner) scanTrailers(b []byte) (int, *Error) {
	for {
		line, err := s.nextLine(b, maxTrailers)
		switch {
		case err == errLineLong || s.line-int(s.left) > maxTrailers:
			return 0, errTrailerSize
		case err != nil:
			return 0, err
		case line == nil && len(b)-int(s.left) >= maxTrailers:
			return 0, errTrailerSize
		case line == nil:
			return 0, nil
		case len(line) == 0:
			s.phase = atEnd
			return s.line, nil
		}
		key, _, err := s.field(line)
		if err != nil {
			return 0, err
		}
		if !trailable(key) {
			return 0, errTrailerField
		}
	}
}

// trailable reports whether a field may stand in trailers: not when it is about
// framing, routing, authentication, content format or control of the request
// (RFC 9110 §6.5.1), for whoever merges trailers into headers would obey it.
func trailable(key []byte) bool {
	var lower [32]byte // longer than any name below
	k := lower[:copy(lower[:], key)]
	for i, x := range k {
		if 'A' <= x && x <= 'Z' {
			k[i] = x | 0x20
		}
	}
	switch string(k) {
	case "transfer-encoding", "content-length", "trailer", "host", "connection", "keep-alive",
		"proxy-connection", "te", "upgrade", "http2-settings", "expect", "max-forwards", "via", "forwarded",
		"authorization", "proxy-authorization", "authentication-info", "proxy-authentication-info",
		"www-authenticate", "proxy-authenticate", "cookie", "set-cookie",
		"content-encoding", "content-type", "content-range", "range", "cache-control", "pragma",
		"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range",
		"prefer", "idempotency-key":
		return false
	}
	return !bytes.HasPrefix(k, []byte("outrider-")) && !bytes.HasPrefix(k, []byte("x-forwarded-"))
}

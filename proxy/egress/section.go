package egress

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
)

// A section is lines, each ended by CRLF, up to an empty one: a response's
// head, or the trailers after the last chunk.

// maxFields bounds the fields of a section: short ones would take many times
// their size in memory.
const maxFields = 4096

var (
	errBareLF  = malformed("line without CR before its LF")
	errTooLong = tooLarge("header section passes the limit")
)

// readSection reads a section of limit bytes at most and returns it without
// the empty line. Normally it is in the reader's buffer as a whole, and the
// string is the only copy.
func readSection(br *bufio.Reader, limit int) (string, error) {
	line, scanned := 0, 0 // start of the current line; bytes looked at
	for {
		buf, _ := br.Peek(br.Buffered())
		for {
			i := bytes.IndexByte(buf[scanned:], '\n')
			if i < 0 {
				break
			}
			lf := scanned + i
			switch {
			case lf == line || buf[lf-1] != '\r':
				return "", errBareLF
			case line > limit:
				return "", errTooLong
			case lf-1 == line:
				s := string(buf[:line])
				_, _ = br.Discard(lf + 1)
				return s, nil
			}
			line, scanned = lf+1, lf+1
		}
		scanned = len(buf)
		if scanned > limit {
			return "", errTooLong
		}
		if scanned == br.Size() {
			return readLongSection(br, limit)
		}
		if _, err := br.Peek(scanned + 1); err != nil && br.Buffered() <= scanned {
			return "", err
		}
	}
}

// readLongSection is readSection for what does not fit into the buffer.
func readLongSection(br *bufio.Reader, limit int) (string, error) {
	var all []byte
	line := 0
	for {
		part, err := br.ReadSlice('\n')
		all = append(all, part...)
		if len(all) > limit+2 {
			return "", errTooLong
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return "", err
		}
		if len(all) < line+2 || all[len(all)-2] != '\r' {
			return "", errBareLF
		}
		if len(all) == line+2 {
			return string(all[:line]), nil
		}
		line = len(all)
	}
}

// parseFields parses the field lines in s into a header. Values keep their
// bytes, and under one name their order; they share s's memory.
func parseFields(s string, known *names) (http.Header, error) {
	n := strings.Count(s, "\n")
	if n > maxFields {
		return nil, tooLarge("too many header fields")
	}
	h := make(http.Header, n)
	values := make([]string, n)
	for s != "" {
		line, rest, _ := strings.Cut(s, "\r\n")
		s = rest
		// A line that starts with a space would continue the one before
		// (obs-fold, RFC 9112 §5.2): its colon-less or spaced name is refused.
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			return nil, malformed("header field name")
		}
		value = strings.Trim(value, " \t")
		if !isFieldValue(value) {
			return nil, malformed("control character in a header field's value")
		}
		name = known.canonical(name)
		if had := h[name]; had != nil {
			h[name] = append(had, value)
			continue
		}
		values[0] = value
		h[name], values = values[:1:1], values[1:]
	}
	return h, nil
}

// tokenBytes are the characters of a token (RFC 9110 §5.6.2).
var tokenBytes = func() (t [256]bool) {
	for c := '0'; c <= 'z'; c++ {
		t[c] = c <= '9' || c >= 'a' || c >= 'A' && c <= 'Z'
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

// isFieldValue: no control character but the tab (RFC 9110 §5.5).
func isFieldValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// isTarget: no space and no control character.
func isTarget(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// tokenIn reports whether one of the comma-separated lists holds the token,
// in any case.
func tokenIn(lists []string, token string) bool {
	for _, list := range lists {
		for list != "" {
			item, rest, _ := strings.Cut(list, ",")
			if fold(strings.Trim(item, " \t"), token) {
				return true
			}
			list = rest
		}
	}
	return false
}

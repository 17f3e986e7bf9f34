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

// parseFields parses the field lines in s, each with its CRLF, into a header.
// Values keep their bytes, and under one name their order; they share s's memory,
// and their lists that of room, if there is enough.
func parseFields(s string, known *names, room []string) (http.Header, signs, error) {
	n := strings.Count(s, "\n")
	if n > maxFields {
		return nil, 0, tooLarge("too many header fields")
	}
	h := make(http.Header, n)
	values := room
	if len(values) < n {
		values = make([]string, n)
	}
	var seen signs
	for s != "" {
		// A line that starts with a space would continue the one before
		// (obs-fold, RFC 9112 §5.2): its colon-less or spaced name is refused.
		colon, canonical := scanName(s)
		if colon == 0 || colon == len(s) || s[colon] != ':' {
			return nil, 0, malformed("header field name")
		}
		name, rest := s[:colon], s[colon+1:]
		end := controlAt(rest)
		if !strings.HasPrefix(rest[end:], "\r\n") {
			return nil, 0, malformed("control character in a header field's value")
		}
		values[0], s = trimmed(rest[:end]), rest[end+2:]
		if !canonical {
			name = known.canonical(name)
		}
		// Nearly every name is new: its sign tells, and saves the look into the map.
		if sign := signOf(name); seen&sign == 0 {
			seen |= sign
		} else if had := h[name]; had != nil {
			h[name] = append(had, values[0])
			continue
		}
		h[name], values = values[:1:1], values[1:]
	}
	return h, seen, nil
}

// signs are those of the names in a section: where a name's sign is not seen, the
// name need not be looked for.
type signs uint64

// signOf is one bit, the same for the same name, and for others seldom.
func signOf(name string) signs {
	return 1 << ((len(name)*7 + int(name[0])*5 + int(name[len(name)-1])) % 64)
}

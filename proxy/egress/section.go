package egress

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
)

// A section is lines, each ended by CRLF, up to an empty one: a response's
// head, or the trailers after the last chunk.
type section struct {
	text  []byte // without the empty line
	lines int
}

// behind is what follows the first line, of which the length is given.
func (s section) behind(first int) section { return section{s.text[first:], s.lines - 1} }

// maxFields bounds the fields of a section: short ones would take many times
// their size in memory.
const maxFields = 4096

var (
	errBareLF  = malformed("line without CR before its LF")
	errTooLong = tooLarge("header section passes the limit")
	errControl = malformed("control character in a header field's value")
)

// readSection reads a section of limit bytes at most. It is good until br is read
// from again: normally it is in the reader's buffer as a whole.
func readSection(br *bufio.Reader, limit int) (section, error) {
	line, scanned := 0, 0 // start of the current line; bytes looked at
	for lines := 0; ; {
		buf, _ := br.Peek(br.Buffered())
		for {
			i := bytes.IndexByte(buf[scanned:], '\n')
			if i < 0 {
				break
			}
			lf := scanned + i
			switch {
			case lf == line || buf[lf-1] != '\r':
				return section{}, errBareLF
			case line > limit:
				return section{}, errTooLong
			case lf-1 == line:
				_, _ = br.Discard(lf + 1)
				return section{buf[:line], lines}, nil
			}
			line, scanned = lf+1, lf+1
			lines++
		}
		scanned = len(buf)
		if scanned > limit {
			return section{}, errTooLong
		}
		if scanned == br.Size() {
			return readLongSection(br, limit)
		}
		if _, err := br.Peek(scanned + 1); err != nil && br.Buffered() <= scanned {
			return section{}, err
		}
	}
}

// readLongSection is readSection for what does not fit into the buffer.
func readLongSection(br *bufio.Reader, limit int) (section, error) {
	var all []byte
	line := 0
	for lines := 0; ; {
		part, err := br.ReadSlice('\n')
		all = append(all, part...)
		if len(all) > limit+2 {
			return section{}, errTooLong
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return section{}, err
		}
		if len(all) < line+2 || all[len(all)-2] != '\r' {
			return section{}, errBareLF
		}
		if len(all) == line+2 {
			return section{all[:line], lines}, nil
		}
		line = len(all)
		lines++
	}
}

// parseFields parses a section of field lines into a header.
// Values keep their bytes, and under one name their order. They share their memory with
// each other and with the precedent, and their lists that of room, if there is enough.
func parseFields(of section, known *names, p *precedent, room []string) (http.Header, signs, error) {
	if of.lines > maxFields {
		return nil, 0, tooLarge("too many header fields")
	}
	h := make(http.Header, of.lines)
	values := room
	if len(values) < of.lines {
		values = make([]string, of.lines)
	}
	var seen signs
	text := "" // s and what was before it, from the first line that is like none before
	alike := p.follow()
	for s := of.text; len(s) > 0; {
		f, value, n, err := alike.next(s)
		if f == nil && err == nil {
			if text == "" {
				text = string(s)
			}
			f, n, err = alike.other(text[len(text)-len(s):], known)
			value = f.value
		}
		if err != nil {
			return nil, 0, err
		}
		s = s[n:]
		values[0] = value
		// Nearly every name is new: its sign tells, and saves the look into the map.
		if seen&f.sign == 0 {
			seen |= f.sign
		} else if had := h[f.name]; had != nil {
			h[f.name] = append(had, value)
			continue
		}
		h[f.name], values = values[:1:1], values[1:]
	}
	return h, seen, nil
}

// parseField parses the line that s begins with. What it returns shares s's memory.
func parseField(s string, known *names) (field, error) {
	// A line that starts with a space would continue the one before
	// (obs-fold, RFC 9112 §5.2): its colon-less or spaced name is refused.
	colon, canonical := scanName(s)
	if colon == 0 || colon == len(s) || s[colon] != ':' {
		return field{}, malformed("header field name")
	}
	name, label := s[:colon], s[:colon+1]
	if !canonical {
		name = known.canonical(name)
	}
	rest := s[len(label):]
	end := controlAt(rest)
	if !strings.HasPrefix(rest[end:], "\r\n") {
		return field{}, errControl
	}
	return field{s[:len(label)+end+len("\r\n")], label, name, trimmed(rest[:end]), signOf(name)}, nil
}

// signs are those of the names in a section: where a name's sign is not seen, the
// name need not be looked for.
type signs uint64

// signOf is one bit, the same for the same name, and for others seldom: with these
// factors few names of one answer share theirs, and of a hundred that are common none
// has that of one that is asked for here.
func signOf(name string) signs {
	return 1 << ((len(name)*2 + int(name[0])*27 + int(name[len(name)-1])*29) % 64)
}

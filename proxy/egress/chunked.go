package egress

import (
	"bufio"
	"bytes"
	"io"
	"net/http"

	"golang.org/x/net/http/httpguts"
)

const (
	// maxChunkLine bounds a chunk's size line with its extensions.
	maxChunkLine = 4 << 10
	// maxExcess bounds size lines and extensions against the data between
	// them: a peer shall not feed us overhead for ever.
	maxExcess = 16 << 10
)

// readChunked reads data of chunks. It waits for bytes only while it has none
// to give: an event stream's chunks are passed on as they come, and several
// that have arrived together go in one Read.
func (ex *exchange) readChunked(p []byte) (n int, err error) {
	for {
		if ex.left == 0 {
			if n > 0 && !ex.chunkHeadBuffered() {
				return n, nil
			}
			last, err := ex.nextChunk()
			if err != nil {
				return n, unexpected(err)
			}
			if last {
				if err := ex.readTrailers(); err != nil {
					return n, unexpected(err)
				}
				return n, io.EOF
			}
		}
		if n == len(p) || n > 0 && ex.br.Buffered() == 0 {
			return n, nil
		}
		m, err := ex.br.Read(p[n:min(int64(len(p)), int64(n)+ex.left)])
		n += m
		if ex.left -= int64(m); err != nil {
			return n, unexpected(err)
		}
		ex.midChunk = ex.left == 0
	}
}

// chunkHeadBuffered reports that the next size line can be read without
// waiting. (That of the last chunk is followed by trailers, which are waited
// for; a peer sends the two together.)
func (ex *exchange) chunkHeadBuffered() bool {
	buf, _ := ex.br.Peek(ex.br.Buffered())
	if ex.midChunk {
		if len(buf) < 2 {
			return false
		}
		buf = buf[2:]
	}
	if bytes.HasPrefix(buf, []byte("0")) {
		return bytes.Contains(buf, []byte("\r\n\r\n"))
	}
	return bytes.IndexByte(buf, '\n') >= 0
}

// nextChunk reads up to the next chunk's data and sets ex.left; last reports
// the chunk of size 0.
func (ex *exchange) nextChunk() (last bool, err error) {
	if ex.midChunk {
		crlf, err := ex.br.Peek(2)
		if len(crlf) > 0 && crlf[0] != '\r' || len(crlf) > 1 && crlf[1] != '\n' {
			return false, malformed("chunk longer than its size")
		}
		if err != nil {
			return false, err
		}
		_, _ = ex.br.Discard(2)
		ex.midChunk = false
	}
	line, err := readChunkLine(ex.br)
	if err != nil {
		return false, err
	}
	size, err := parseChunkLine(line)
	if err != nil {
		return false, err
	}
	// A chunk makes up for its own overhead of sixteen bytes and for as much
	// again as half of its data.
	ex.excess = max(0, ex.excess+int64(len(line))+2-16-size/2)
	if ex.excess > maxExcess {
		return false, malformed("chunks with more overhead than data")
	}
	ex.left = size
	return size == 0, nil
}

func readChunkLine(br *bufio.Reader) ([]byte, error) {
	line, err := br.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull || len(line) > maxChunkLine:
		return nil, malformed("chunk size line too long")
	case err != nil:
		return nil, err
	case len(line) < 2 || line[len(line)-2] != '\r':
		return nil, errBareLF
	}
	return line[:len(line)-2], nil
}

// parseChunkLine parses chunk-size [chunk-ext] (RFC 9112 §7.1). Extensions are
// passed over (§7.1.1), but have to consist of text.
func parseChunkLine(line []byte) (size int64, err error) {
	i := 0
	for ; i < len(line); i++ {
		d := hexDigit(line[i])
		if d < 0 {
			break
		}
		if size >= 1<<58 {
			return 0, malformed("chunk size")
		}
		size = size<<4 | int64(d)
	}
	if i == 0 {
		return 0, malformed("chunk size")
	}
	ext := bytes.TrimLeft(line[i:], " \t")
	if len(line) > i && (len(ext) == 0 || ext[0] != ';') {
		return 0, malformed("chunk size")
	}
	for _, c := range ext {
		if c < ' ' && c != '\t' || c == 0x7f {
			return 0, malformed("chunk extension")
		}
	}
	return size, nil
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// readTrailers reads the section after the last chunk into resp.Trailer,
// announced or not. Fields that say how a message is to be read come too late
// to be heeded and are left out (RFC 9110 §6.5.1).
func (ex *exchange) readTrailers() error {
	s, err := readSection(ex.br, ex.t.settings.MaxHeaderBytes)
	if err != nil || s.lines == 0 {
		return err
	}
	h, _, err := parseFields(s, &ex.t.names, nil, nil)
	if err != nil {
		return err
	}
	for name, values := range h {
		if !allowedTrailer(name) {
			continue
		}
		if ex.answer.Trailer == nil {
			ex.answer.Trailer = make(http.Header)
		}
		ex.answer.Trailer[name] = values
	}
	return nil
}

func allowedTrailer(name string) bool { return httpguts.ValidTrailerHeader(name) }

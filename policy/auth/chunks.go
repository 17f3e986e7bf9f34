package auth

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What stands in X-Amz-Content-Sha256 where each piece of the body is signed, after the
// signature of the one before (S3, "Signature Calculations for the Authorization Header:
// Transferring Payload in Multiple Chunks"). Some SDKs send all their uploads so, others
// those without TLS.
//
//	SIZE;chunk-signature=SIGNATURE CRLF … CRLF        any number
//	0;chunk-signature=SIGNATURE CRLF                  the last
//	NAME:VALUE CRLF                                   of a trailer
//	x-amz-trailer-signature:SIGNATURE CRLF            of a trailer
//	CRLF
const (
	signedChunks  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	signedTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
)

const (
	chunkSignature   = ";chunk-signature="
	trailerSignature = "x-amz-trailer-signature"
	signatureLength  = 2 * sha256.Size // of hexadecimal digits
	longestTrailer   = 16 << 10
)

// chunks is the body of one attempt, whose pieces are signed anew as they are read: a
// signature takes the place of the one that stood there, so that the length of the body
// stays. One piece is held at a time.
type chunks struct {
	source  io.Closer
	in      *bufio.Reader
	signer  chunkSigner
	largest int64 // piece, in bytes

	piece []byte // as it goes out
	rest  []byte // of piece, to be read
	last  bool   // of the pieces, was read
	err   error  // what comes after rest
}

func newChunks(body io.ReadCloser, signer chunkSigner, largest int64) *chunks {
	return &chunks{source: body, in: bufio.NewReader(body), signer: signer, largest: largest}
}

// Read gives what is signed. Nothing is handed on of a piece that broke off.
func (c *chunks) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		switch {
		case c.err != nil:
			return 0, c.err
		case c.last:
			c.err = c.trailer()
		default:
			c.err = c.next()
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Close closes what it is made of.
func (c *chunks) Close() error { return c.source.Close() }

// next reads one piece and signs it.
func (c *chunks) next() error {
	head, err := c.in.ReadSlice('\n')
	if err != nil {
		return misshapen(err)
	}
	size, ok := parseChunkHead(head)
	switch {
	case !ok:
		return misshapen(io.EOF)
	case size > c.largest:
		return &UnsignableError{fmt.Sprintf("a piece of the body has %d bytes, and has to be read before it can be signed: that is more than replay_body (%d bytes): raise that", size, c.largest)}
	}
	begin := len(head)
	c.piece = append(c.piece[:0], head...)
	if c.last = size == 0; !c.last {
		c.piece = slices.Grow(c.piece, int(size)+2)[:begin+int(size)+2]
		if _, err := io.ReadFull(c.in, c.piece[begin:]); err != nil {
			return misshapen(err)
		}
		if !bytes.HasSuffix(c.piece, []byte("\r\n")) {
			return misshapen(io.EOF)
		}
	}
	signature := c.signer.chunk(c.piece[begin : begin+int(size)])
	copy(c.piece[begin-2-signatureLength:], signature)
	c.rest = c.piece
	return nil
}

// parseChunkHead reads the line before a piece.
func parseChunkHead(line []byte) (size int64, ok bool) {
	digits, signature, found := strings.Cut(string(line), chunkSignature)
	n, err := strconv.ParseUint(digits, 16, 40)
	return int64(n), found && err == nil && isDigest(strings.TrimSuffix(signature, "\r\n")) && len(signature) == signatureLength+2
}

// trailer reads what comes after the pieces, and signs it where the caller did.
func (c *chunks) trailer() error {
	var fields []string
	c.piece = c.piece[:0]
	signed := -1 // where the signature stands
	for more := true; more; {
		line, err := c.in.ReadSlice('\n')
		if more = err == nil; err != nil && err != io.EOF || len(c.piece)+len(line) > longestTrailer {
			return misshapen(err)
		}
		name, value, _ := strings.Cut(strings.TrimRight(string(line), "\r\n"), ":")
		switch {
		case name == trailerSignature && isDigest(value):
			signed = len(c.piece) + len(name) + 1
		case name != "":
			fields = append(fields, strings.ToLower(name)+":"+strings.TrimSpace(value)+"\n")
		}
		c.piece = append(c.piece, line...)
	}
	if signed >= 0 {
		slices.Sort(fields)
		copy(c.piece[signed:], c.signer.trailer(strings.Join(fields, "")))
	}
	c.rest = c.piece
	return io.EOF
}

// misshapen is the error of a body that is not in signed pieces; another one's own, if
// it is not that the body has ended.
func misshapen(err error) error {
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF && err != bufio.ErrBufferFull {
		return err
	}
	return &UnsignableError{"the body is not in signed pieces, as " + amzBody + " says"}
}

// A chunkSigner signs the pieces of one body in their order.
type chunkSigner struct {
	key       []byte
	at, scope string
	before    string // the signature of the request, and then of the piece before
}

func newChunkSigner(secret Secret, scope Scope, at time.Time, signature string) chunkSigner {
	day := at.UTC().Format("20060102")
	key := []byte("AWS4" + secret.Reveal())
	parts := []string{day, scope.Region, scope.Service, "aws4_request"}
	for _, part := range parts {
		key = keyed(key, part)
	}
	return chunkSigner{key: key, at: at.UTC().Format("20060102T150405Z"), scope: strings.Join(parts, "/"), before: signature}
}

func (s *chunkSigner) chunk(data []byte) string {
	return s.sign("AWS4-HMAC-SHA256-PAYLOAD", emptyDigest, digestText(sha256.Sum256(data)))
}

// trailer signs the fields of a trailer: a line each, in the order of their names.
func (s *chunkSigner) trailer(fields string) string {
	return s.sign("AWS4-HMAC-SHA256-TRAILER", digestText(sha256.Sum256([]byte(fields))))
}

func (s *chunkSigner) sign(algorithm string, digests ...string) string {
	text := slices.Concat([]string{algorithm, s.at, s.scope, s.before}, digests)
	s.before = hex.EncodeToString(keyed(s.key, strings.Join(text, "\n")))
	return s.before
}

func keyed(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
